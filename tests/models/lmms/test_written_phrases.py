import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.models.lmms.written_phrases import PhraseFinder, offsets_by_decoding


def span_of(text, words):
    return (text.index(words), text.index(words) + len(words))


def states(ids):
    return torch.arange(len(ids), dtype=torch.float32)[:, None, None]


def find(tokenizer, text, phrases):
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)['input_ids'])
    finder = PhraseFinder(tokenizer, lambda own: [span_of(own.text, words) for words in phrases])
    return finder, ids, finder(ids, states(ids)).tolist()


def words_of(tokenizer, ids, found, phrase):
    return tokenizer.decode([i for i, p in zip(ids.tolist(), found, strict=True) if p == phrase])


@pytest.mark.parametrize('text', ['a red circle on the grass .', '  a red circle on the grass \n'])
def test_tokens_of_phrases_are_found_by_their_characters(tiny_tokenizer, text):
    finder, ids, found = find(tiny_tokenizer, text, ['the grass', 'red circle'])
    assert finder.text == text.strip() and len(finder.spans) == 2
    assert words_of(tiny_tokenizer, ids, found, 0).strip() == 'the grass'
    assert words_of(tiny_tokenizer, ids, found, 1).strip() == 'red circle'


def test_characters_of_several_tokens(tiny_tokenizer):
    finder, ids, found = find(tiny_tokenizer, 'été 🟥 fin', ['🟥'])
    assert finder.text == 'été 🟥 fin'
    # The square is four bytes, each a token of its own; those before its end share no character.
    assert '🟥' not in tiny_tokenizer.decode(ids[: max(i for i, p in enumerate(found) if p == 0)])
    assert words_of(tiny_tokenizer, ids, found, -1).replace('\ufffd', '').split() == ['été', 'fin']


def test_special_tokens_are_no_text(tiny_tokenizer):
    ids = torch.tensor([tiny_tokenizer.bos_token_id, *tiny_tokenizer('a star')['input_ids'][1:]])
    finder = PhraseFinder(tiny_tokenizer, lambda own: [(0, len(own.text))])
    found = finder(ids, states(ids)).tolist()
    assert finder.text == 'a star' and set(found[1:]) == {0}


def test_no_text_has_no_phrase(tiny_tokenizer):
    finder = PhraseFinder(tiny_tokenizer, lambda own: [])
    nothing = torch.zeros(0, dtype=torch.int64)
    assert finder(nothing, states(nothing)).shape == (0,) and finder.text == ''


@pytest.mark.parametrize('text', ['a star', '  a star \n'])
def test_the_chooser_sees_the_tokens_of_the_text_without_space_around_it(tiny_tokenizer, text):
    seen = []
    finder = PhraseFinder(tiny_tokenizer, lambda own: seen.append(own) or [])
    ids = torch.tensor(tiny_tokenizer(text, add_special_tokens=False)['input_ids'])
    finder(ids, states(ids))
    (own,) = seen
    assert own.text == 'a star' and torch.equal(own.hidden, states(ids))
    assert len(own.offsets) == len(ids) and own.offsets[-1][1] == len('a star')
    assert ''.join(own.text[a:b] for a, b in own.offsets) == 'a star'


@settings(deadline=None, max_examples=60)
@given(ids=st.lists(st.integers(5, 300), max_size=25))
def test_offsets_tile_the_text_whatever_was_written(tiny_tokenizer, ids):
    ids = [i for i in ids if i < len(tiny_tokenizer)]
    text, offsets = offsets_by_decoding(tiny_tokenizer.decode, ids)
    assert len(offsets) == len(ids)
    ends = [0, *[end for _, end in offsets]]
    assert [start for start, _ in offsets] == ends[:-1] and ends == sorted(ends)
    assert ends[-1] == len(text)
