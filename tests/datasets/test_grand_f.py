import json

import numpy as np
import pytest
from PIL import Image

from flmm.datasets import GranDfDataset
from flmm.datasets.grand_f import drop_overlapping, find_spans
from flmm.datasets.transforms import LoadImage, LoadMasks
from flmm.structures import SkippedSample
from flmm.utils.errors import AnnotationError
from flmm.utils.masks import encode_rle


def rle(columns):
    mask = np.zeros((4, 6), bool)
    mask[:, columns] = True
    return encode_rle(mask)


@pytest.fixture
def root(tmp_path):
    Image.new('RGB', (6, 4)).save(tmp_path / 'x1.jpg')
    return tmp_path


def train(root, *records):
    (root / 'train.json').write_text(json.dumps(records))
    return GranDfDataset(str(root / 'train.json'), str(root), pipeline=[LoadImage(), LoadMasks()])


def evaluation(root, labels, masks, caption='A dog and a red cat'):
    mask_file = {
        'images': [{'id': 'x1'}],
        'annotations': [{'id': i, 'image_id': 'x1', 'segmentation': m, 'category_id': 1}
                        for i, m in enumerate(masks)],
    }  # fmt: skip
    caption_file = {
        'images': [{'id': 'x1'}],
        'annotations': [{'id': 0, 'image_id': 'x1', 'caption': caption, 'labels': labels}],
    }
    (root / 'm.json').write_text(json.dumps(mask_file))
    (root / 'c.json').write_text(json.dumps(caption_file))
    return GranDfDataset(
        str(root / 'm.json'), str(root), str(root / 'c.json'), [LoadImage(), LoadMasks()]
    )


def test_training_layout_several_masks_are_one_phrase(root):
    record = {
        'file_name': 'x1.jpg',
        'caption': '"Two dogs on grass"',
        'groundings': {
            'grass': {'token_positives': [13, 18], 'rle_masks': [rle([5])]},
            'Two dogs': {'token_positives': [1, 9], 'rle_masks': [rle([0]), rle([1, 2])]},
        },
    }
    sample = train(root, record)[0]
    # Quotation marks around the caption go, and the positives move with it.
    assert sample.text == 'Two dogs on grass'
    assert [(p.text, p.phrase) for p in sample.pieces] == [
        ('Two dogs', 0), (' on ', -1), ('grass', 1),
    ]  # fmt: skip
    assert sample.gt_masks.sum(axis=(1, 2)).tolist() == [12, 4]


def test_evaluation_layout_labels_and_masks_go_together(root):
    sample = evaluation(root, ['a red cat', 'A dog'], [rle([0]), rle([3, 4])])[0]
    assert [phrase.text for phrase in sample.phrases] == ['a red cat', 'A dog']
    assert sample.gt_masks.sum(axis=(1, 2)).tolist() == [4, 8]
    assert sample.meta['references'] == ['A dog and a red cat']
    assert sample.image_path.endswith('x1.jpg')


def test_spans_are_found_once_each_and_the_longer_one_wins():
    text = 'a cat sees a cat in a cat house'
    spans = find_spans(text, ['a cat', 'A CAT', 'a cat house', 'a dog'])
    assert spans == [(0, 5), (11, 16), (20, 31), None]
    assert drop_overlapping([(0, 5), (0, 9), None, (7, 99)], 20) == [None, (0, 9), None, None]


@pytest.mark.parametrize(
    'record',
    [
        {'file_name': 'x1.jpg', 'caption': 'x'},
        {'file_name': 'x1.jpg', 'caption': 'x', 'groundings': {'x': {'token_positives': [0]}}},
        {'file_name': 'x1.jpg', 'caption': 'x', 'groundings': {'x': {'token_positives': ''}}},
        {'file_name': 'x1.jpg', 'caption': 'x',
         'groundings': {'x': {'token_positives': [0, 1], 'rle_masks': None}}},
        {'caption': 'x', 'groundings': {}},
        {'file_name': 'x1.jpg', 'caption': None, 'groundings': {}},
        {'file_name': 'x1.jpg', 'caption': 'x',
         'groundings': {'x': {'token_positives': [0, 1], 'rle_masks': [{'size': [4, 6],
                                                                       'counts': 'abc'}]}}},
        {'file_name': '../x1.jpg', 'caption': 'x', 'groundings': {}},
    ],
)  # fmt: skip
def test_a_broken_record_is_skipped(root, record):
    item = train(root, record)[0]
    assert isinstance(item, SkippedSample) and item.reason == 'annotation_invalid'


def test_a_label_without_mask_is_skipped_and_another_format_an_error(root):
    item = evaluation(root, ['A dog', 'a red cat'], [rle([0])])[0]
    assert '2 phrases but 1 masks' in item.detail
    (root / 'm.json').write_text('{}')
    with pytest.raises(AnnotationError, match='GranD-f'):
        GranDfDataset(str(root / 'm.json'), str(root), str(root / 'c.json'))
    with pytest.raises(AnnotationError, match='no image'):
        train(root)
