"""Words that a caption should name, by hand."""

from types import SimpleNamespace

import pytest

from flmm.evaluation.metrics import NamingMetric
from flmm.structures import Phrase, SkippedSample

KINDS = {'color': ['red', 'blue'], 'shape': ['circle', 'star']}


def evaluate(*pairs, skipped=()):
    metric = NamingMetric(KINDS)
    predictions = [
        SimpleNamespace(
            text=said, sample=SimpleNamespace(sample_id=str(i), meta={'references': [truth]})
        )
        for i, (truth, said) in enumerate(pairs)
    ]
    metric.process({'skipped': list(skipped)}, predictions)
    return metric.evaluate(len(pairs) + len(skipped))


def test_every_kind_must_be_right_and_each_is_scored_alone():
    scores = evaluate(
        ('a red circle', 'A large red circle .'),
        ('a red circle', 'a red star'),
        ('a blue star', 'blue'),
        ('a blue star', 'a star on the red circle'),
    )
    assert scores['naming/all'] == 25
    assert scores['naming/color'] == 75 and scores['naming/shape'] == 50


def test_the_first_word_counts_and_only_what_the_reference_names_is_asked_for():
    scores = evaluate(('a star', 'blue star beside a circle'), ('nothing', 'red'))
    assert scores['naming/all'] == 100 and scores['naming/num_captions'] == 1


def test_words_are_whole_words():
    assert evaluate(('a red star', 'a reddish starlet'))['naming/all'] == 0


def test_a_skipped_sample_is_wrong():
    scores = evaluate(('a star', 'a star'), skipped=[SkippedSample('x', 'image_unreadable')])
    assert scores['naming/all'] == 50 and scores['naming/num_skipped'] == 1
    # What it would have been asked for is not known: it counts against both kinds.
    assert scores['naming/color'] == 0 and scores['naming/shape'] == 50


def test_a_skipped_sample_is_wrong_in_what_its_reference_names():
    skipped = [
        SkippedSample('x', 'image_unreadable', references=('a red thing', 'a star')),
        SkippedSample('y', 'image_unreadable', phrases=(Phrase('it', meta={'refs': ['a star']}),)),
        SkippedSample('z', 'image_unreadable', references=('nothing of either kind',)),
    ]
    scores = evaluate(('a red circle', 'a red circle'), skipped=skipped)
    # z is not asked for anything, as it would not be with an image.
    assert scores['naming/all'] == pytest.approx(100 / 3)
    assert scores['naming/color'] == 50 and scores['naming/shape'] == 50
    assert scores['naming/num_captions'] == 3 and scores['naming/num_skipped'] == 3
