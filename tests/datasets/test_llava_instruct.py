import json

import pytest

from flmm.datasets import LLaVAInstructDataset


def turn(speaker, text):
    return {'from': speaker, 'value': text}


@pytest.fixture
def write(tmp_path):
    """Function that writes a mix in LLaVA's format and opens it."""

    def make(*entries, **options):
        path = tmp_path / 'mix.json'
        path.write_text(json.dumps(list(entries)))
        return LLaVAInstructDataset(str(path), str(tmp_path), **options)

    return make


def said(dataset, index=0):
    found = dataset[index].meta['instructions']
    return [(one['fields']['question'], one['answer']) for one in found]


ASKED = [turn('human', '<image>\nWhat?'), turn('gpt', 'A cat.')]


def test_entries_with_and_without_an_image_are_read(write):
    entries = (
        {'id': '000000033471', 'image': 'coco/train2017/000000033471.jpg', 'conversations': ASKED},
        {'id': 'wgByO4Y_0', 'model': '', 'conversations': [turn('human', 'Hi'), turn('gpt', 'Ho')]},
    )
    dataset = write(*entries, trim=True)
    assert said(dataset) == [(['What?'], ['A cat.'])]
    assert dataset[0].image_path.endswith('coco/train2017/000000033471.jpg')
    assert dataset[1].image_path is None and said(dataset, 1) == [(['Hi'], ['Ho'])]


def test_what_nobody_asked_or_answered_is_trimmed_or_an_error(write):
    whole = [turn('gpt', 'Hello'), *ASKED, turn('human', 'Thanks')]
    assert said(write({'conversations': whole}, trim=True)) == [(['What?'], ['A cat.'])]
    assert said(write({'conversations': ASKED})) == [(['\nWhat?'], ['A cat.'])]
    assert write({'conversations': whole})[0].reason == 'annotation_invalid'
    alone = write({'conversations': [turn('gpt', 'Hello')]}, trim=True)
    assert alone[0].reason == 'annotation_invalid' and 'no request' in alone[0].detail
