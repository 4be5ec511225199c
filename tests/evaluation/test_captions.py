import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from flmm.evaluation import captions
from flmm.evaluation.captions import caption_scores, missing_java, tokenize_caption
from flmm.utils.errors import FLMMError

RECORDED = json.loads(
    (Path(__file__).parents[1] / 'data/captions/ptb_tokens.json').read_text(encoding='utf-8')
)


@pytest.mark.parametrize(('text', 'tokens'), RECORDED['cases'])
def test_words_are_those_of_the_java_tokenizer(text, tokens):
    assert tokenize_caption(text) == tokens


@given(st.text(max_size=60))
def test_any_text_has_words(text):
    words = tokenize_caption(text)
    assert words == ' '.join(words.split())


REFERENCES = {
    'a': ['a red circle on the grass', 'there is a red disc on grass'],
    'b': ['two blue squares next to a star'],
    'c': ['a small dog runs'],
}
PREDICTIONS = {'a': 'a red circle on grass', 'b': 'two blue squares near a star', 'c': 'a dog runs'}


def test_rouge_l_by_hand():
    _, each = caption_scores(PREDICTIONS, REFERENCES, ('rouge_l',))
    # c: longest common subsequence "a dog runs": precision 3/3, recall 3/4, beta 1.2.
    assert each['rouge_l'][2] == approx((1 + 1.44) * 1 * 0.75 / (0.75 + 1.44 * 1))
    # a: 5/5 of the first reference's 6 words.
    assert each['rouge_l'][0] == approx(2.44 * 1 * (5 / 6) / (5 / 6 + 1.44))


def test_bleu_by_hand():
    scores, _ = caption_scores({'a': 'a red dog'}, {'a': ['a red cat sits']}, ('bleu',))
    brevity = math.exp(1 - 4 / 3)
    assert scores['bleu_1'] == approx(2 / 3 * brevity, rel=1e-6)
    assert scores['bleu_2'] == approx(math.sqrt(2 / 3 * 1 / 2) * brevity, rel=1e-6)


def test_meteor_without_java_is_the_mean_of_flmm_s_own():
    # Exactly the reference, and no word of it.
    same = {'a': 'A red dog.', 'b': 'blue'}
    scores, each = caption_scores(same, {'a': ['a red dog'], 'b': ['cats run']}, ('meteor_stems',))
    assert each['meteor_stems'] == [1, 0] and scores['meteor_stems'] == 0.5
    assert math.isnan(caption_scores({}, {}, ('meteor_stems',))[0]['meteor_stems'])


def test_cider_of_a_perfect_caption_is_ten_and_of_one_image_nothing():
    same = {'a': ['one two three four'], 'b': ['five six seven eight']}
    scores, each = caption_scores({k: v[0] for k, v in same.items()}, same, ('cider',))
    assert scores['cider'] == approx(10) and each['cider'] == [approx(10), approx(10)]
    assert caption_scores({'a': 'x'}, {'a': ['x']}, ('cider',))[0]['cider'] == 0


def test_an_empty_caption_scores_nothing_and_no_caption_is_nan():
    scores, _ = caption_scores({'a': '', 'b': 'x'}, {'a': ['cat'], 'b': ['dog']})
    assert scores['rouge_l'] == 0 and scores['cider'] == 0
    assert all(math.isnan(value) for value in caption_scores({}, {})[0].values())


def test_mistakes_are_named():
    with pytest.raises(FLMMError, match='ids differ'):
        caption_scores({'a': 'x'}, {'b': ['x']})
    with pytest.raises(FLMMError, match="reference caption for \\['a'\\]"):
        caption_scores({'a': 'x'}, {'a': []})
    with pytest.raises(FLMMError, match='rouge_9'):
        caption_scores({}, {}, ('rouge_9',))


def test_without_java_meteor_says_so(monkeypatch):
    monkeypatch.setattr(captions.shutil, 'which', lambda name: None)
    missing_java.cache_clear()
    try:
        with pytest.raises(FLMMError, match='need Java 8'):
            caption_scores({'a': 'x'}, {'a': ['x']}, ('meteor',))
    finally:
        missing_java.cache_clear()


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocoevalcap.rouge.rouge', None)
    with pytest.raises(FLMMError, match=r'flmm\[captions\]'):
        caption_scores({'a': 'x'}, {'a': ['x']}, ('rouge_l',))
