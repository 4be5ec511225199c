from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from flmm.evaluation.text_scores import anls, edit_distance, exact_match, normalise_answer


def test_exact_match_forgives_articles_case_and_punctuation():
    assert normalise_answer('The  red, Dog!') == 'red dog'
    assert exact_match('A dog.', 'dog') == 1
    assert exact_match('dogs', 'dog') == 0


def test_the_choice_a_is_an_answer():
    assert exact_match('(A)', 'A') == 1
    assert exact_match('', 'A') == exact_match('the', 'A') == exact_match('B', 'A') == 0


def test_anls_by_hand():
    assert edit_distance('kitten', 'sitting') == 3
    assert anls('kitten', 'sitting') == approx(1 - 3 / 7)
    assert anls('cat', 'dog') == 0
    assert anls('', '') == 1 and anls('', 'x') == 0
    # Similarity 1/2 is kept, less is not.
    assert anls('ab', 'ax') == approx(0.5) and anls('abc', 'axx') == 0


@given(st.text(max_size=12), st.text(max_size=12))
def test_distance_is_symmetric_and_bounded(a, b):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
