"""Words as tokens of their own."""

from pathlib import Path

import pytest

from flmm.models.lmms.added_words import tokenizer_with_words
from flmm.models.lmms.processor import build_tokenizer

TINY = str(Path(__file__).parents[3] / 'checkpoints/tiny_llava')
WORDS = ['Object1', 'object2']


@pytest.fixture(scope='module')
def tokenizers():
    return build_tokenizer(TINY), tokenizer_with_words(TINY, WORDS)


def test_a_word_is_one_token_behind_the_known_ones(tokenizers):
    plain, extended = tokenizers
    ids = extended.convert_tokens_to_ids(WORDS)
    assert ids == [len(plain), len(plain) + 1]
    written = extended('Object1 is left of object2', add_special_tokens=False)['input_ids']
    assert [written.count(token) for token in ids] == [1, 1]
    assert len(written) < len(plain('Object1 is left of object2')['input_ids']) / 2


@pytest.mark.parametrize('special', [True, False])
def test_texts_come_back_as_they_were(tokenizers, special):
    _, extended = tokenizers
    text = 'Object1 is left of object2'
    ids = extended(text, add_special_tokens=False, split_special_tokens=special)['input_ids']
    assert extended.decode(ids, skip_special_tokens=True).strip() == text


def test_other_texts_are_read_as_before(tokenizers):
    plain, extended = tokenizers
    text = 'Where is the red circle? C 3 F 7'
    assert extended(text)['input_ids'] == plain(text)['input_ids']


def test_known_tokens_are_left_alone():
    assert len(tokenizer_with_words(TINY, ['▁red'])) == len(build_tokenizer(TINY))
