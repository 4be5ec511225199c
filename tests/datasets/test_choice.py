"""Questions with lettered options."""

import pytest

from flmm.datasets.choice import LETTERS, ask_choice
from flmm.datasets.instruction import location


def test_options_are_lettered_lines_and_the_answer_names_one():
    asked = ask_choice('Which?', [['a cat'], ['a dog']], 1, group='x')
    assert asked.template == 'choice'
    assert asked.fields['question'] == [{'mark': 'qes', 'parts': ['Which?']}]
    assert asked.fields['option'] == [
        {'mark': 'opt', 'parts': ['A. ', 'a cat', '\n', 'B. ', 'a dog']}
    ]
    assert asked.answer == ['The answer is B.']
    assert asked.truth == {'choice': 1, 'question': 'Which?', 'group': 'x'}


def test_an_option_may_be_a_place():
    box = location([1, 2, 3, 4])
    (option,) = ask_choice('Where?', [[box]], 0).fields['option']
    assert option['parts'] == ['A. ', box]


def test_without_the_right_one_there_is_no_answer():
    asked = ask_choice('Which?', [['a'], ['b']], None)
    assert asked.answer is None and asked.truth['choice'] is None


@pytest.mark.parametrize(('count', 'correct'), [(0, None), (2, 2), (2, -1), (len(LETTERS) + 1, 0)])
def test_what_cannot_be_asked_is_an_error(count, correct):
    with pytest.raises(ValueError, match=f'of {count} cannot be asked'):
        ask_choice('Which?', [['x']] * count, correct)
