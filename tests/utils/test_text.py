import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.utils.text import phrase_of_each_token, split_by_spans


def test_text_is_cut_at_its_phrases_in_order():
    pieces = split_by_spans('the dog and a cat', [(12, 17), (0, 7)])
    assert pieces == [('the dog', 1), (' and ', -1), ('a cat', 0)]


@pytest.mark.parametrize('spans', [[(2, 2)], [(0, 9)], [(-1, 2)], [(0, 3), (2, 4)]])
def test_spans_that_are_empty_outside_or_overlap_raise(spans):
    with pytest.raises(ValueError):
        split_by_spans('abcde', spans)


def tokens_of(text, borders):
    ends = sorted({b for b in borders if 0 < b < len(text)} | {len(text)})
    return list(zip([0, *ends], ends, strict=False)) if text else []


@settings(deadline=None)
@given(st.data())
def test_every_phrase_with_a_visible_character_overlaps_a_token_that_is_its_or_a_rivals(data):
    chunks = st.tuples(st.text('ab c.', max_size=6), st.integers(-1, 3))
    pieces = data.draw(st.lists(chunks, max_size=6))
    text = ''.join(piece for piece, _ in pieces)
    offsets = tokens_of(text, data.draw(st.lists(st.integers(0, 40), max_size=20)))
    phrases = phrase_of_each_token(offsets, pieces)
    assert len(phrases) == len(offsets)
    owner = [phrase for piece, phrase in pieces for _ in piece]
    for (start, end), phrase in zip(offsets, phrases, strict=True):
        visible = {owner[i] for i in range(start, end) if not text[i].isspace()} - {-1}
        if visible:
            assert phrase in visible
        elif text[start:end].strip():
            assert phrase == -1


def test_a_straddling_token_goes_where_most_of_its_characters_are():
    pieces = [('ab', 0), ('cde', 1)]
    assert phrase_of_each_token([(0, 1), (1, 5)], pieces) == [0, 1]


def test_ties_go_to_the_first_phrase_and_unmarked_text_does_not_compete():
    assert phrase_of_each_token([(0, 2)], [('a', 1), ('b', 0)]) == [1]
    assert phrase_of_each_token([(0, 5)], [('a', 0), ('bcde', -1)]) == [0]


def test_spaces_do_not_decide():
    # "_runs" covers the space that ends the phrase.
    pieces = [('a dog ', 0), ('runs', -1)]
    assert phrase_of_each_token([(0, 5), (5, 10)], pieces) == [0, -1]


def test_marks_without_characters_go_with_what_follows():
    assert phrase_of_each_token([(0, 0), (0, 1)], [('a', 3)]) == [3, 3]
    assert phrase_of_each_token([(1, 1)], [('a', 3)]) == [-1]
