"""Detections of a scene by hand: COCO's file, and a detector's beside conversations."""

import json

import pytest
from toy_by_hand import BOXES, COCO_BOXES, KINDS, write_one

from flmm.datasets.toy.writers.detections import CocoDetectionWriter, LLaVARegionsWriter


def test_coco_detection_lists_boxes_with_categories(tmp_path):
    write_one(CocoDetectionWriter(tmp_path))
    root = tmp_path / 'coco_detection'
    content = json.loads((root / 'annotations/instances_train2017.json').read_text())
    assert [item['bbox'] for item in content['annotations']] == COCO_BOXES
    assert (root / 'train2017' / content['images'][0]['file_name']).is_file()
    # Every colour of every shape, and each box its own.
    names = {category['id']: category['name'] for category in content['categories']}
    assert len(set(names.values())) == 36
    found = [names[item['category_id']] for item in content['annotations']]
    assert found == [f'{color} {shape}' for shape, color in KINDS]


def test_a_detector_s_boxes_are_shares_with_a_score(tmp_path):
    write_one(LLaVARegionsWriter(tmp_path))
    root = tmp_path / 'llava_regions'
    (found,) = json.loads((root / 'detections_train.json').read_text())
    for box, (x0, y0, x1, y1) in zip(found['pred_bboxes'], BOXES, strict=True):
        assert box[:4] == pytest.approx([x0 / 40, y0 / 20, x1 / 40, y1 / 20])
        assert 0.2 <= box[4] <= 1
    assert found['labels'] == ['circle', 'square', 'circle', 'star']
    (talk,) = json.loads((root / 'conversations_train.json').read_text())
    turns = talk['conversations']
    assert [turn['from'] for turn in turns] == ['human', 'gpt'] * (len(turns) // 2)
    # The image is named once, at the very beginning.
    assert turns[0]['value'].startswith('<image>\n')
    assert sum('<image>' in turn['value'] for turn in turns) == 1
    assert found['filename'] == talk['image']
