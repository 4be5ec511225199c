import math

import pytest
from pytest import approx

from flmm.evaluation.metrics.gres import GRESMetric
from flmm.structures import CocoMask, Phrase, SkippedSample


def test_scores_of_no_one_and_several_targets(make_prediction):
    metric = GRESMetric()
    metric.process(
        {},
        [
            make_prediction('a', ['0000', '1000'], ['0000', '0000']),
            # One of two objects found: IoU 1/2.
            make_prediction('b', ['1100'], ['1111'], plural={0}),
        ],
    )
    scores = metric.evaluate(2)
    assert scores['gres/giou'] == approx(100 * (1 + 0 + 0.5) / 3)
    assert scores['gres/ciou'] == approx(100 * 2 / (1 + 4))
    assert scores['gres/n_acc'] == approx(50)
    assert scores['gres/t_acc'] == approx(100)
    assert scores['gres/miou_multi_target'] == approx(50)


def test_a_skipped_expression_without_target_is_wrong():
    metric = GRESMetric()
    phrase = Phrase('nothing there', CocoMask(()))
    metric.process({'skipped': [SkippedSample('a', 'image_unreadable', '', (phrase,))]}, [])
    scores = metric.evaluate(1)
    assert scores['gres/n_acc'] == 0 and scores['gres/giou'] == 0
    assert math.isnan(scores['gres/t_acc']) and 'gres/t_acc' in metric.notes


def test_min_area_is_recorded_and_checked():
    assert '50 pixels' in GRESMetric(min_area=50).protocol()['no target']
    with pytest.raises(ValueError, match='min_area'):
        GRESMetric(min_area=0)


def test_a_right_no_target_is_a_better_sample_than_a_wrong_one(make_prediction):
    metric = GRESMetric()
    phrase = Phrase('nothing there', CocoMask(()))
    entries = [
        metric.entry(make_prediction('a', ['0000'], ['0000'])),
        metric.entry(make_prediction('b', ['1000'], ['0000'])),
        metric.entry(make_prediction('c', ['0000', '1100'], ['0000', '1000'])),
        metric.skipped_entry(SkippedSample('d', 'image_unreadable', '', (phrase,))),
        metric.skipped_entry(SkippedSample('e', 'annotation_invalid', '', ())),
    ]
    scores = metric.sample_scores(entries)
    assert scores[:4] == [approx(100), 0, approx(75), 0] and math.isnan(scores[4])
