"""VisCoT: question, evidence box and answer of a record."""

import copy
import json

import pytest

from flmm.datasets.viscot import VisCoTDataset
from flmm.utils.errors import AnnotationError

RECORD = {
    'dataset': 'x',
    'split': 'val',
    'question_id': 4,
    'image': ['a.jpg', 'a.jpg###[1, 2.5, 30, 40]'],
    'conversations': [
        {'from': 'human', 'value': '<image>\nWhat is it? Please provide the bounding box of it.'},
        {'from': 'gpt', 'value': '[0.1, 0.2, 0.3, 0.4]'},
        {'from': 'human', 'value': '<image>'},
        {'from': 'gpt', 'value': ' a cat '},
    ],
}


def build(tmp_path, *records):
    path = tmp_path / 'v.json'
    path.write_text(json.dumps(records))
    return VisCoTDataset(str(path), str(tmp_path))


def test_the_request_for_a_box_is_no_part_of_the_question(tmp_path):
    sample = build(tmp_path, RECORD)[0]
    assert sample.meta['question'] == 'What is it?' and sample.prompt == '<image>\nWhat is it?'
    assert sample.meta['answer'] == 'a cat'
    assert sample.meta['box_xyxy'] == [1, 2.5, 30, 40]
    assert sample.image_path == str(tmp_path / 'a.jpg') and not sample.phrases
    assert sample.sample_id == 'viscot/0'


def changed(**changes):
    record = copy.deepcopy(RECORD)
    record.update(changes)
    return record


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (changed(image=['a.jpg', 'a.jpg']), 'evidence box'),
        (changed(image=['a.jpg', 'a.jpg###[1, 2, 3]']), 'is none'),
        (changed(image=['a.jpg', 'a.jpg###[30, 2, 1, 40]']), 'is none'),
        (changed(image=['a.jpg', 'a.jpg###[nan, 2, 3, 4]']), 'is none'),
        (changed(conversations=RECORD['conversations'][:2]), 'question, box, image, answer'),
    ],
)
def test_broken_records_are_named(tmp_path, record, message):
    dataset = build(tmp_path, RECORD, record)
    assert dataset[1].reason == 'annotation_invalid' and message in dataset[1].detail
    assert dataset[0].meta['answer'] == 'a cat'


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(AnnotationError, match='list of questions'):
        build(tmp_path)
