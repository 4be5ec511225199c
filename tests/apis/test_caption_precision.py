"""Precision of bootstrapped captions before and after the filter, by hand."""

import json
import math

import pytest

from flmm.apis.caption_precision import (
    caption_precision,
    is_true,
    read_generated,
    read_truths,
    unfiltered,
)
from flmm.datasets import Objects365Dataset
from flmm.utils.errors import AnnotationError, InputFileError

KINDS = {'color': ['red', 'blue'], 'shape': ['circle', 'star']}


@pytest.mark.parametrize(
    ('caption', 'right'),
    [
        ('a small Red circle', True),
        ('the circle on the left', True),  # what it does not say is not wrong
        ('a red star', False),
        ('red and blue circle', True),  # the first colour counts
        ('something', False),
        ('a redcircle', False),
    ],
)
def test_a_caption_is_true_where_it_contradicts_nothing(caption, right):
    assert is_true(caption, 'a red circle on the sand', KINDS) is right


def record():
    """Two objects; the first caption is true and leads back, the second is false and leads away,
    the third is true and leads nowhere."""
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60]]
    return {
        'id': 1,
        'image_id': 'a.jpg',
        'orig_width': 100,
        'orig_height': 100,
        'grounding_caption': '',
        'anno': [
            {'id': 11 + i, 'bbox': box, 'ignore': 0, 'category_name': 'x'}
            for i, box in enumerate(boxes)
        ],
        'pred': [
            {'object_id': 0, 'caption': 'red circle', 'bbox': [0, 0, 10, 9], 'format_error': 0},
            {'object_id': 1, 'caption': 'red star', 'bbox': [0, 0, 10, 10], 'format_error': 0},
            {'object_id': 1, 'caption': 'blue star', 'bbox': [0, 0, 1, 1], 'format_error': 1},
        ],
    }


TRUTHS = {11: 'a red circle', 12: 'a blue star'}


def test_precision_of_kept_and_of_all_captions():
    scores = caption_precision([record()], TRUTHS, KINDS)
    assert scores['precision_all'] == pytest.approx(200 / 3)
    assert (scores['precision_kept'], scores['captions'], scores['kept']) == (100, 3, 1)
    assert scores['gain'] == pytest.approx(100 / 3)
    # The kept box overlaps by 90 of 100 pixels.
    nothing = caption_precision([record()], TRUTHS, KINDS, iou_threshold=0.95)
    assert nothing['kept'] == 0 and math.isnan(nothing['precision_kept'])
    # Objects without a truth are not counted.
    assert caption_precision([record()], {11: 'a red circle'}, KINDS)['captions'] == 1


def test_all_captions_make_a_training_file_with_the_annotated_boxes(tmp_path):
    lines = unfiltered([record(), {**record(), 'pred': []}])
    path = tmp_path / 'all.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    dataset = Objects365Dataset(str(path), str(tmp_path), tasks=['grounding'])
    assert len(dataset) == 1
    boxes = [caption['bbox'] for caption in dataset.records[0]['pred']]
    assert boxes == [[0, 0, 10, 10], [50, 50, 60, 60], [50, 50, 60, 60]]


def test_files_are_read_and_wrong_ones_named(tmp_path):
    with pytest.raises(InputFileError, match='nothing generated'):
        read_generated(tmp_path)
    (tmp_path / 'generated').mkdir()
    (tmp_path / 'generated/00000-of-00001.jsonl').write_text(json.dumps(record()) + '\n{"id": 2')
    assert [line['id'] for line in read_generated(tmp_path)] == [1]
    (tmp_path / 't.json').write_text(json.dumps({'annotations': [{'id': 11, 'caption': 'x'}]}))
    assert read_truths(tmp_path / 't.json') == {11: 'x'}
    (tmp_path / 't.json').write_text('[]')
    with pytest.raises(AnnotationError, match='id and caption'):
        read_truths(tmp_path / 't.json')
