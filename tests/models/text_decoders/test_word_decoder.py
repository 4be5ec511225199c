import pytest

from flmm.models.text_decoders import WordDecoder
from flmm.utils.errors import FLMMError


def test_words_know_their_last_token(tiny_tokenizer):
    text = 'a big yellow star'
    ids = tiny_tokenizer(text, add_special_tokens=False)['input_ids']
    said, words = WordDecoder(tiny_tokenizer, end_id=2)([1, *ids, 2, 3, 3])
    assert said == text
    assert [said[start:end] for start, end, _ in words] == text.split()
    # Up to its last token every word, and nothing after it, has been written.
    for start, end, index in words:
        assert tiny_tokenizer.decode(ids[:index]) == text[:end] and start < end


def test_a_caption_without_an_end_or_without_words(tiny_tokenizer):
    decode = WordDecoder(tiny_tokenizer, end_id=2)
    assert decode([1, 2]) == ('', [])
    assert decode([1]) == ('', [])
    ids = tiny_tokenizer('star', add_special_tokens=False)['input_ids']
    assert decode([1, *ids])[0] == 'star'
    with pytest.raises(FLMMError, match='tokenizer'):
        WordDecoder(None, 2)([1, 2])
