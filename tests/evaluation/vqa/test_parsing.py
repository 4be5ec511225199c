import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.evaluation.vqa import parsing as P


@pytest.mark.parametrize(
    ('text', 'yes'),
    [
        ('Yes. No dog though', True),
        ('No', False),
        ('There is not, sorry', False),
        ('There is no, dog', False),
        ('nothing', True),
        ('', True),
    ],
)
def test_pope_reads_words_of_the_first_sentence(text, yes):
    assert P.pope_says_yes(text) is yes


@pytest.mark.parametrize(
    ('text', 'option'),
    [
        ('A', 0),
        ('C. z', 2),
        ('So. The answer is B.', 1),
        # The dot of the official pattern is any character, but one there must be.
        ('The answer is B: y', 1),
        ('The answer is B', None),
        ('D', None),
        ('b', None),
        ('B)', None),
    ],
)
def test_scienceqa_reads_three_forms_only(text, option):
    assert P.scienceqa_option(text, 3) == option


def test_options_are_found_as_each_benchmark_does():
    assert P.first_capital('the answer is B') == 1 and P.first_capital('none') is None
    assert P.first_character(' c.') == 2 and P.first_character('1') is None
    assert P.letter_alone(' B ') == 1 and P.letter_alone('B.') is None
    # An empty text is found at the start of every text: it must not become option A.
    assert P.letter_alone('') is None and P.letter_alone('AB') is None
    assert P.first_character('') is None and P.first_capital('') is None


@pytest.mark.parametrize(
    ('text', 'option'),
    [
        ('B', 1),
        ('(B)', 1),
        ('B. a cat', 1),
        ('A cat', 1),
        ('a cat.', 1),
        ('The answer is C', 2),
        ('Option: A', 0),
        ('A man walks here', None),
        ('answer A or answer B', None),
        ('E', None),
        ('', None),
    ],
)
def test_an_option_is_named_by_letter_or_by_its_text(text, option):
    assert P.find_option(text, ['a dog', 'a cat', 'two birds']) == option


def test_evalai_spelling():
    assert P.evalai_answer("The man's  two, hats?") == "man 's 2 hats"
    assert P.evalai_answer('dont\n') == "don't"


@given(st.text(max_size=80))
@settings(max_examples=50)
def test_no_text_makes_a_parser_fail(text):
    P.pope_says_yes(text)
    assert P.mme_answer(text) in ('yes', 'no', 'other')
    for option in (
        P.scienceqa_option(text, 4),
        P.first_capital(text),
        P.first_character(text),
        P.letter_alone(text),
        P.find_option(text, ['x', 'y']),
    ):
        assert option is None or 0 <= option < 26
    P.evalai_answer(text)
