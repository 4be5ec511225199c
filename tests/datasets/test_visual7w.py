"""Visual7W: choices are boxes or texts, the right one stands anywhere."""

import pytest
from instruction_files import options_of, pairs_of, write

from flmm.datasets import Visual7WDataset


def box(x):
    return {'box_id': x, 'x': x, 'y': 0, 'width': 20, 'height': 50}


POINTING = {
    'images': [
        {
            'image_id': 3,
            'split': 'test',
            'filename': 'v7w_3.jpg',
            'qa_pairs': [
                {'question': 'Which one?', 'answer': 10, 'multiple_choices': [30, 50, 70]}
            ],
        }
    ],
    'boxes': [box(x) for x in (10, 30, 50, 70)],
}


def test_the_right_box_stands_at_each_place(tmp_path):
    dataset = Visual7WDataset(write(tmp_path / 'p.json', POINTING), str(tmp_path), split='test')
    pairs = pairs_of(dataset)
    assert len(pairs) == 24
    for request, answer in pairs:
        # x from 10 to 30 of 200 pixels, y from 0 to 50 of 100.
        right = options_of(request)[answer[len('The answer is ')]]
        assert right == '<loc>[0.050,0.000,0.150,0.500]</loc>'
    assert {answer[-2] for _, answer in pairs} == set('ABCD')
    assert dataset[0].image_path.endswith('/v7w_3.jpg')


def test_a_split_alone_is_read_and_texts_are_choices_too(tmp_path):
    questions = [
        {'question': 'Why?', 'answer': 'so', 'multiple_choices': ['a'], 'file_name': 'x.jpg'}
    ]
    dataset = Visual7WDataset(write(tmp_path / 't.json', questions), str(tmp_path))
    assert {tuple(options_of(request).values()) for request, _ in pairs_of(dataset)} == {
        ('so', 'a'), ('a', 'so')
    }  # fmt: skip


def test_there_is_no_other_split(tmp_path):
    with pytest.raises(ValueError, match="split must be one of .*'nope'"):
        Visual7WDataset(write(tmp_path / 'p.json', POINTING), str(tmp_path), split='nope')
