"""GranD-f of a scene by hand: phrases at their characters, masks as run lengths."""

import json

import numpy as np
from toy_by_hand import scene_by_hand, write_one

from flmm.datasets.toy.writers.grand_f import GranDfWriter, _caption
from flmm.utils.masks import decode_rle


def test_phrases_stand_where_they_say_and_each_wording_once():
    for seed in range(10):
        caption, phrases = _caption(np.random.default_rng(seed), scene_by_hand())
        texts = [text for text, _, _ in phrases]
        assert len(set(texts)) == len(texts) > 0
        for text, (start, end), mask in phrases:
            assert caption[start:end] == text and mask.any()


def test_training_records_hold_masks_by_phrase(tmp_path):
    write_one(GranDfWriter(tmp_path))
    (record,) = json.loads((tmp_path / 'grand_f/train.json').read_text())
    assert (tmp_path / 'grand_f/images' / record['file_name']).is_file()
    for text, grounding in record['groundings'].items():
        start, end = grounding['token_positives']
        assert record['caption'][start:end] == text
        (rle,) = grounding['rle_masks']
        assert decode_rle(rle, (20, 40)).any()


def test_captions_and_masks_of_the_evaluation_go_together(tmp_path):
    writer = GranDfWriter(tmp_path)
    writer.add('val', 7, scene_by_hand(), np.random.default_rng(0))
    writer.finish()
    root = tmp_path / 'grand_f'
    masks = json.loads((root / 'val_gcg_coco_mask_gt.json').read_text())
    captions = json.loads((root / 'val_gcg_coco_caption_gt.json').read_text())
    (caption,) = captions['annotations']
    assert len(caption['labels']) == len(masks['annotations']) > 0
    assert [image['id'] for image in masks['images']] == [caption['image_id']] == ['000000000007']
    for annotation in masks['annotations']:
        assert annotation['area'] == decode_rle(annotation['segmentation'], (20, 40)).sum()
    assert json.loads((root / 'test_gcg_coco_mask_gt.json').read_text())['annotations'] == []
