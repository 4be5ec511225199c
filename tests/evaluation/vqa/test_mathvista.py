import pytest

from flmm.evaluation.vqa.mathvista import edit_distance, mathvista_right
from flmm.structures import VQAQuestion


def ask(answer, kind, precision=None, choices=()):
    form = 'multi_choice' if choices else 'free_form'
    meta = dict(question_type=form, answer_type=kind, precision=precision)
    return VQAQuestion('1', 'q', answer, choices=choices, meta=meta)


@pytest.mark.parametrize(
    ('response', 'question', 'right'),
    [
        ('The answer is 14', ask('14', 'integer'), True),
        ('It is 1,400 in all.', ask('1400', 'integer'), True),
        ('14.9', ask('14', 'integer'), True),  # cut, as the benchmark's script does
        ('none', ask('14', 'integer'), False),
        ('about 1.249', ask('1.2', 'float', 1.0), True),
        ('1.3', ask('1.2', 'float', 1.0), False),
        ('1.2', ask('1.2', 'float', None), False),
        ('B', ask('7 cm', 'text', choices=('5 cm', '7 cm')), True),
        ('7 cm.', ask('7 cm', 'text', choices=('5 cm', '7 cm')), True),
        ('7 mm', ask('7 cm', 'text', choices=('5 km', '7 cm')), True),  # fewest edits
        ('', ask('7 cm', 'text', choices=('5 cm', '7 cm')), False),
        ('The answer is "blue".', ask('blue', 'text'), True),
        ('They are [1, 2] or [3,4]', ask('[3, 4]', 'list'), True),
        ('9' * 400, ask('inf', 'float', 2), False),
    ],
)
def test_answers_are_read_by_their_kind(response, question, right):
    assert mathvista_right(response, question) is right


def test_edit_distance():
    assert edit_distance('kitten', 'sitting') == 3
    assert edit_distance('', 'ab') == 2 and edit_distance('ab', 'ab') == 0


class Reader:
    """A judge that copies what it is told to and keeps what it was asked."""

    def __init__(self, found):
        self.found, self.asked = found, []

    def extract(self, question, answer, form):
        self.asked.append((answer, form))
        return self.found


@pytest.mark.parametrize(
    ('response', 'question', 'found', 'form'),
    [
        ('Of 20, six are red, so 14.0 in 1 box', ask('14', 'integer'), '14', 'an integer'),
        ('half of it', ask('0.5', 'float', 1.0), '0.5', 'a decimal number'),
        ('the longer', ask('7 cm', 'text', choices=('5', '7 cm')), '7 cm', 'one of its options'),
    ],
)
def test_a_judge_reads_what_is_not_the_answer_itself(response, question, found, form):
    judge = Reader(found)
    assert mathvista_right(response, question, judge) and judge.asked == [(response, form)]
    assert not mathvista_right(response, question, Reader(''))


def test_an_answer_that_is_one_already_costs_nothing():
    judge = Reader('')
    assert mathvista_right('14', ask('14', 'integer'), judge)
    assert mathvista_right('B', ask('7 cm', 'text', choices=('5 cm', '7 cm')), judge)
    assert mathvista_right('[3, 4]', ask('[3,4]', 'list'), judge)
    assert not mathvista_right('', ask('14', 'integer'), judge) and not judge.asked
