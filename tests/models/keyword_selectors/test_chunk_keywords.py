import torch

from flmm.models.keyword_selectors import ChunkKeywords
from flmm.models.lmms.written_phrases import TracedText
from flmm.registry import MODELS


def test_each_text_has_its_own_spans():
    keywords = MODELS.build(dict(type='ChunkKeywords', method='rules'))
    assert isinstance(keywords, ChunkKeywords)
    texts = ['The image shows a red circle.', 'Yes, it does.', '']
    spans = keywords.select(texts)
    assert [[t[a:b] for a, b in s] for t, s in zip(texts, spans, strict=True)][0] == [
        'a red circle'
    ]
    assert spans[2] == []


def test_an_answer_just_written_has_the_spans_of_its_text():
    text = 'The image shows a red circle.'
    keywords = ChunkKeywords('rules')
    written = TracedText(text, [], torch.zeros(0, 1, 1))
    assert keywords.select_written(written) == keywords.select([text])[0]
