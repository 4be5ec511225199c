"""A-OKVQA: the letter of the right choice follows the order in which choices are shown."""

import pytest
from instruction_files import options_of, pairs_of, write

from flmm.datasets import AOKVQADataset
from flmm.utils.errors import AnnotationError

RECORD = {
    'image_id': 42,
    'question': 'What is it for?',
    'choices': ['eating', 'sleeping', 'reading'],
    'correct_choice_idx': 2,
}


def test_every_order_of_choices_has_its_own_letter(tmp_path):
    dataset = AOKVQADataset(write(tmp_path / 'a.json', [RECORD]), str(tmp_path))
    pairs = pairs_of(dataset)
    assert len(pairs) == 6  # orders of three choices
    for request, answer in pairs:
        assert options_of(request)[answer[len('The answer is ')]] == 'reading'
    # Each letter is the right one in two of the six orders: the place tells nothing.
    assert sorted(answer[-2] for _, answer in pairs) == list('AABBCC')


def test_the_record_stays_as_it_is_and_evaluation_keeps_the_order(tmp_path):
    path = write(tmp_path / 'a.json', [RECORD])
    dataset = AOKVQADataset(path, str(tmp_path))
    first, again = (pairs_of(dataset) for _ in range(2))
    assert first == again and dataset.records[0] == RECORD
    fixed = AOKVQADataset(path, str(tmp_path), shuffle=False)
    ((request, answer),) = pairs_of(fixed)
    assert list(options_of(request).values()) == RECORD['choices']
    assert answer == 'The answer is C.'


def test_a_test_question_has_no_answer(tmp_path):
    record = {key: value for key, value in RECORD.items() if key != 'correct_choice_idx'}
    dataset = AOKVQADataset(write(tmp_path / 'a.json', [record]), str(tmp_path), shuffle=False)
    assert [answer for _, answer in pairs_of(dataset)] == [None]


def test_images_are_those_of_coco_2017_and_other_files_an_error(tmp_path):
    dataset = AOKVQADataset(write(tmp_path / 'a.json', [RECORD]), str(tmp_path))
    assert dataset.image_name(RECORD) == '000000000042.jpg'
    with pytest.raises(AnnotationError, match='expected a list, got dict'):
        AOKVQADataset(write(tmp_path / 'b.json', {'questions': []}), str(tmp_path))
    with pytest.raises(AnnotationError, match='no sample'):
        AOKVQADataset(write(tmp_path / 'c.json', []), str(tmp_path))
