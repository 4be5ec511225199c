from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmm.utils import keywords
from flmm.utils.errors import FLMMError
from flmm.utils.keywords import SpacyChunker, find_keywords, keep_objects, make_chunker

TEXT = 'The image shows a man and his dog on the left side; he holds the leash of the dog.'


def chunk(*words):
    """Spans of words in TEXT, as a parser would give them."""
    return [(TEXT.index(word), TEXT.index(word) + len(word)) for word in words]


def kept(spans, text=TEXT):
    return [text[start:end] for start, end in keep_objects(text, spans)]


def test_pronouns_and_words_about_the_image_go():
    chunks = chunk('The image', 'a man', 'his dog', 'the left side', 'he', 'the leash')
    assert kept(chunks) == ['a man', 'his dog', 'the leash']


def test_chunks_inside_others_go():
    chunks = chunk('the leash', 'the leash of the dog', 'leash')
    assert kept(chunks) == ['the leash of the dog']


def test_spans_lose_white_space_and_punctuation():
    text = ' a cat, '
    assert kept([(0, len(text))], text) == ['a cat']


def test_spacy_chunks_are_used_when_it_is_there():
    def nlp(text):
        spans = [SimpleNamespace(start_char=a, end_char=b) for a, b in chunk('he', 'a man')]
        return SimpleNamespace(noun_chunks=spans)

    spans = find_keywords(TEXT, SpacyChunker(nlp))
    assert [TEXT[a:b] for a, b in spans] == ['a man']


def test_noun_chunks_are_those_of_spacy_itself():
    spacy = pytest.importorskip('spacy', reason='spaCy is an optional extra')
    # (word, part of speech, head, dependency) as an English pipeline marks them.
    marks = [
        ('The', 'DET', 1, 'det'), ('image', 'NOUN', 2, 'nsubj'), ('shows', 'VERB', 2, 'ROOT'),
        ('a', 'DET', 5, 'det'), ('big', 'ADJ', 5, 'amod'), ('dog', 'NOUN', 2, 'dobj'),
        ('and', 'CCONJ', 5, 'cc'), ('it', 'PRON', 5, 'conj'), ('on', 'ADP', 5, 'prep'),
        ('the', 'DET', 11, 'det'), ('left', 'ADJ', 11, 'amod'), ('side', 'NOUN', 8, 'pobj'),
        ('of', 'ADP', 11, 'prep'), ('Anna', 'PROPN', 15, 'poss'), ("'s", 'PART', 13, 'case'),
        ('house', 'NOUN', 12, 'pobj'), ('.', 'PUNCT', 2, 'punct'),
    ]  # fmt: skip
    vocab = spacy.blank('en').vocab

    def nlp(text):
        words, pos, heads, deps = zip(*marks, strict=True)
        spaces = [word not in ('Anna', 'house', '.') for word in words]
        doc = spacy.tokens.Doc(vocab, words, spaces, pos=pos, heads=heads, deps=deps)
        assert doc.text == text
        return doc

    text = "The image shows a big dog and it on the left side of Anna's house."
    chunks = SpacyChunker(nlp)(text)
    said = [text[a:b] for a, b in chunks]
    assert said == ['The image', 'a big dog', 'it', 'the left side', "Anna's house"]
    spans = find_keywords(text, SpacyChunker(nlp))
    assert [text[a:b] for a, b in spans] == ['a big dog', "Anna's house"]


def test_without_spacy_auto_takes_the_rules_and_spacy_says_what_to_install(monkeypatch):
    monkeypatch.setattr(keywords, 'spacy_is_installed', lambda name='': False)
    keywords._load_spacy.cache_clear()
    assert make_chunker('auto') is keywords.find_noun_phrases
    with pytest.raises(FLMMError, match=r'flmm\[spacy\]'):
        make_chunker('spacy')
    with pytest.raises(ValueError, match='llm'):
        make_chunker('llm')


@given(st.text(max_size=50), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))))
def test_any_chunks_give_ordered_spans_inside_the_text(text, chunks):
    end = 0
    for start, stop in keep_objects(text, chunks):
        assert end <= start < stop <= len(text)
        end = stop
