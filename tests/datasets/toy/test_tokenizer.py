"""The tokenizer: any text survives, pieces give the ids of the joined text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.datasets.toy.tokenizer import train_bpe, wrap_tokenizer

CORPUS = ['USER: \nDescribe this image. ASSISTANT: the red circle on the left , and a star .'] * 3


@pytest.fixture(scope='module')
def tokenizer():
    return wrap_tokenizer(train_bpe(CORPUS))


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def test_frequent_words_are_single_tokens(tokenizer):
    assert tokenizer.tokenize('the red circle .') == ['▁the', '▁red', '▁circle', '▁.']


def test_pieces_give_the_ids_of_the_joined_text(tokenizer):
    pieces = ['a star', 'on the left', ',', 'the red circle', '.']
    joined = ids(tokenizer, ' '.join(pieces))
    assert [i for piece in pieces for i in ids(tokenizer, piece)] == joined


@settings(max_examples=50, deadline=None)
@given(text=st.text(alphabet=st.characters(codec='utf-8', exclude_categories=['Cs']), max_size=30))
def test_any_text_has_tokens_and_no_unknown_one(tokenizer, text):
    assert tokenizer.unk_token_id not in ids(tokenizer, text.replace('<unk>', ''))


def test_unknown_words_are_read_back_from_bytes(tokenizer):
    assert tokenizer.decode(ids(tokenizer, 'ein Zebra, é')) == 'ein Zebra, é'


def test_offsets_and_special_tokens(tokenizer):
    encoded = tokenizer('the circle', return_offsets_mapping=True)
    assert encoded.input_ids[0] == tokenizer.bos_token_id
    assert encoded.offset_mapping[1:] == [(0, 3), (3, 10)]
    assert tokenizer.tokenize('a <image> b').count('<image>') == 1
    assert tokenizer.convert_tokens_to_ids('<image>') == 4
