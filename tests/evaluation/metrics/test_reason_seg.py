import math

import numpy as np
from pytest import approx

from flmm.evaluation.metrics.reason_seg import ReasonSegMetric
from flmm.structures import Phrase, SkippedSample
from flmm.utils.masks import encode_rle


def test_ignored_pixels_belong_to_neither_mask(make_prediction):
    prediction = make_prediction('r/short/a', ['1110'], ['1001'])
    prediction.sample.ori_shape = (1, 4)
    prediction.sample.meta['ignore'] = encode_rle(np.array([[False, True, True, False]]))
    metric = ReasonSegMetric()
    metric.process({}, [prediction])
    # Left: predicted 1000, true 1001.
    assert metric.evaluate(1)['reason_seg/giou'] == approx(50)


def test_short_and_long_questions_apart_and_skipped_ones_missed(make_prediction):
    metric = ReasonSegMetric()
    gone = SkippedSample('r/long/c', 'image_unreadable', '', (Phrase('which?'),))
    metric.process(
        {'skipped': [gone]},
        [
            make_prediction('r/short/a', ['11'], ['11']),
            make_prediction('r/long/b', ['00'], ['00']),
        ],
    )
    scores = metric.evaluate(3)
    assert scores['reason_seg/giou_short'] == approx(100)
    assert scores['reason_seg/giou_long'] == approx(50)  # two empty masks 1, skipped 0
    assert scores['reason_seg/giou'] == approx(100 * 2 / 3)
    assert scores['reason_seg/ciou'] == approx(100)


def test_no_long_question_is_nan_with_a_reason(make_prediction):
    metric = ReasonSegMetric()
    metric.process({}, [make_prediction('r/short/a', ['1'], ['1'])])
    assert math.isnan(metric.evaluate(1)['reason_seg/giou_long'])
    assert 'reason_seg/giou_long' in metric.notes


def test_a_question_without_answer_is_right_where_none_is_predicted(make_prediction):
    metric = ReasonSegMetric()
    right, wrong = make_prediction('r/long/a', ['00'], ['00']), make_prediction('b', ['10'], ['00'])
    assert metric.sample_scores([metric.entry(right), metric.entry(wrong)]) == [100.0, 0.0]
