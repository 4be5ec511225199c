"""LLaVA's conversations with detections."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from region_files import write_json

from flmm.datasets.llava_regions import LLaVARegionDataset
from flmm.datasets.transforms import LoadImage, LoadRegions
from flmm.utils.errors import AnnotationError

TALK = [
    {'from': 'human', 'value': 'Look.\n<image>'},
    {'from': 'gpt', 'value': 'A dog.'},
    {'from': 'human', 'value': 'Is <image> it red?'},
    {'from': 'gpt', 'value': 'No.'},
]
FOUND = {
    'filename': 'a.jpg',
    'pred_bboxes': [
        [0.1, 0.2, 0.5, 0.9, 0.9],
        [0.3, 0.3, 0.31, 0.9, 0.8],
        [0.0, 0.0, 0.9, 0.9, 0.2],
    ],
    'labels': [1, 0, 0],
}
TEMPLATES = {
    'llava': {
        'overview': ['<image>|'],
        'described': ['<image>|{regions}|'],
        'region': ['{token} {name}'],
        'joiner': [';'],
    }
}


def build(tmp_path, talk=TALK, found=FOUND, names=('cat', 'dog'), **options):
    return LLaVARegionDataset(
        write_json(tmp_path / 'talk.json', [{'image': 'a.jpg', 'conversations': talk}]),
        write_json(tmp_path / 'det.json', [found]),
        str(tmp_path),
        None if names is None else write_json(tmp_path / 'names.json', names),
        templates=TEMPLATES,
        **options,
    )


def test_good_detections_introduce_the_image(tmp_path):
    sample = build(tmp_path, describe=1.0)[0]
    assert sample.turns[0].request == 'Look.\n<image>|<region> dog|'
    # The image is shown once; elsewhere its name is text.
    assert '<image>' not in sample.turns[1].request
    assert [turn.answer for turn in sample.turns] == ['A dog.', 'No.']


def test_boxes_are_shares_until_the_image_is_known(tmp_path):
    sample = build(tmp_path, describe=1.0)[0]
    sample.image = Image.fromarray(np.zeros((100, 200, 3), np.uint8))
    sample.ori_shape = (100, 200)
    region = LoadRegions()(sample).regions[0]
    assert region.box_xyxy == pytest.approx((20, 20, 100, 90)) and not region.relative


def test_without_regions_only_the_image(tmp_path):
    sample = build(tmp_path, describe=0.0)[0]
    assert sample.turns[0].request == 'Look.\n<image>|' and not sample.regions


def test_where_nothing_is_good_the_first_ones_are_taken(tmp_path):
    sample = build(tmp_path, describe=1.0, min_score=0.95, fallback=2)[0]
    assert sample.turns[0].request == 'Look.\n<image>|<region> dog;<region> cat|'


@pytest.mark.parametrize(
    'box',
    [
        (0.3, 0.3, 0.3, 0.9),  # a line
        (0.5, 0.5, 0.4, 0.9),  # corners exchanged
        (1.1, 0.1, 1.4, 0.9),  # beside the image
        (0.3, 0.3, 0.304, 0.9),  # 0.8 of 200 pixels
        (0.3, 0.3, 0.9, 0.309),  # 0.9 of 100 pixels
        (float('nan'), 0.3, 0.9, 0.9),
        (0.3, 0.3, 0.9, float('nan')),
    ],
)
def test_a_detection_without_an_inside_is_dropped_and_not_its_conversation(tmp_path, box):
    Image.new('RGB', (200, 100)).save(tmp_path / 'a.jpg')
    boxes = [[*box, 0.1], [0.1, 0.2, 0.5, 0.9, 0.1], [0.3, 0.3, 0.306, 0.9, 0.1]]
    found = {**FOUND, 'pred_bboxes': boxes}
    pipeline = [LoadImage(), LoadRegions()]
    sample = build(tmp_path, found=found, describe=1.0, pipeline=pipeline)[0]
    # Dropped by name; 1.2 pixels are an inside. The placeholders fit the regions.
    assert sample.dropped == [('detection 1 (dog)', 'too_small')]
    assert sample.turns[0].request == 'Look.\n<image>|<region> cat;<region> cat|'
    assert [region.box_xyxy for region in sample.regions] == [
        pytest.approx((20, 20, 100, 90)),
        pytest.approx((60, 30, 61.2, 90)),
    ]


def test_where_no_detection_has_an_inside_the_image_stands_alone(tmp_path):
    found = {**FOUND, 'pred_bboxes': [[0.3, 0.3, 0.3, 0.9, 0.1]], 'labels': [0]}
    # Its image is missing: it has no size, which is for LoadImage to say.
    sample = build(tmp_path, found=found, describe=1.0)[0]
    assert sample.turns[0].request == 'Look.\n<image>|' and not sample.regions
    assert sample.dropped == [('detection 1 (cat)', 'too_small')]
    item = build(tmp_path, found=found, describe=1.0, pipeline=[LoadImage()])[0]
    assert item.reason == 'image_unreadable'


def test_names_from_an_annotation_file_in_order_of_ids(tmp_path):
    lvis = {'categories': [{'id': 2, 'name': 'b'}, {'id': 1, 'name': 'a'}]}
    assert 'b' in build(tmp_path, names=lvis, describe=1.0)[0].turns[0].request


def test_detections_with_names(tmp_path):
    found = {**FOUND, 'labels': ['x', 'y', 'z']}
    assert (
        '<region> x' in build(tmp_path, found=found, names=None, describe=1.0)[0].turns[0].request
    )


@pytest.mark.parametrize(
    ('talk', 'found', 'message'),
    [
        (TALK[:3], FOUND, 'alternate'),
        ([{**TALK[0], 'value': 'Look.'}, TALK[1]], FOUND, 'no request names the image'),
        ([TALK[0], {**TALK[1], 'value': ''}], FOUND, 'a text is expected'),
        (TALK, {**FOUND, 'filename': 'b.jpg'}, 'no detections of'),
    ],
)
def test_broken_records_are_counted_and_named(tmp_path, talk, found, message):
    item = build(tmp_path, talk, found)[0]
    assert item.reason == 'annotation_invalid' and message in item.detail


@pytest.mark.parametrize(
    ('found', 'names', 'message'),
    [
        ({**FOUND, 'labels': [1]}, ['cat', 'dog'], '3 boxes of 5 numbers, 1 labels'),
        (FOUND, ['cat'], 'label 1 of 1 names'),
        (FOUND, None, 'give names_file'),
        (FOUND, [1], 'list of names'),
    ],
)
def test_other_files_are_refused(tmp_path, found, names, message):
    with pytest.raises(AnnotationError, match=message):
        build(tmp_path, found=found, names=names)


def test_detections_are_kept_once_for_all_conversations_of_an_image(tmp_path):
    boxes = [[0.1, 0.2, 0.5, 0.9, 0.9]] * 300
    found = {**FOUND, 'pred_bboxes': boxes, 'labels': ['x'] * 300}
    talks = [{'image': 'a.jpg', 'conversations': TALK}] * 50
    dataset = LLaVARegionDataset(
        write_json(tmp_path / 'talk.json', talks),
        write_json(tmp_path / 'det.json', [found]),
        str(tmp_path),
        describe=1.0,
        max_regions=300,
    )
    assert [len(dataset[i].regions) for i in (0, 49)] == [300, 300]
    assert len(pickle.dumps(dataset)) < 50 * len(json.dumps(boxes)) / 10
