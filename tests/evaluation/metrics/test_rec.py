import json
import math

import pytest
import torch
from pytest import approx

from flmm.evaluation.metrics.box_readers import HeadBoxes, MaskBoxes, TextBoxes
from flmm.evaluation.metrics.rec import RECMetric
from flmm.registry import METRICS
from flmm.structures import GroundingPrediction, GroundingSample, Phrase, SkippedSample


def answer(sample_id, text, box, shape=(100, 200)):
    phrase = Phrase('it', meta={'box_xyxy': box})
    sample = GroundingSample(sample_id, ori_shape=shape, phrases=[phrase])
    return GroundingPrediction(sample, torch.zeros(1, *shape, dtype=torch.bool), text=text)


def test_boxes_of_masks_against_boxes_of_true_masks(make_prediction):
    metric = RECMetric()
    # Boxes 0..2 of 0..4 (IoU 1/2), 1..2 of 0..4 (1/4), none.
    metric.process({}, [make_prediction('a', ['1100', '0100', '0000'], ['1001', '1111', '1000'])])
    scores = metric.evaluate(1)
    assert scores['rec/precision@0.5'] == approx(100 / 3)
    assert scores['rec/miou'] == approx(100 * (0.5 + 0.25) / 3)
    assert scores['rec/answered'] == approx(100 * 2 / 3)
    assert scores['rec/num_phrases'] == 3


def test_strict_wants_more_than_half(make_prediction):
    metric = RECMetric(strict=True)
    metric.process({}, [make_prediction('a', ['1100'], ['1001'])])
    assert metric.evaluate(1)['rec/precision@0.5'] == 0
    assert metric.protocol()['precision@t'] == 'IoU > t'


def test_boxes_in_text():
    metric = METRICS.build(dict(type='RECMetric', reader=dict(type='TextBoxes')))
    metric.process(
        {},
        [
            answer('a', 'Here: [0.1,0.2,0.5,0.8]', (20, 20, 100, 80)),
            answer('b', 'I cannot see it.', (0, 0, 10, 10)),
        ],
    )
    scores = metric.evaluate(2)
    assert scores['rec/precision@0.5'] == approx(50)
    assert scores['rec/answered'] == approx(50)


def test_pointing_asks_for_the_right_place_whatever_the_size():
    metric = RECMetric(reader=HeadBoxes())
    middle_in, middle_out, none = (answer(name, '', (0, 0, 10, 10)) for name in 'abc')
    # Middles (9, 9) and (11, 9); the first overlaps little, the second much.
    middle_in.meta['boxes_xyxy'] = torch.tensor([[8, 8, 10, 10]])
    middle_out.meta['boxes_xyxy'] = torch.tensor([[0, 0, 22, 18]])
    none.meta['boxes_xyxy'] = [None]
    metric.process({}, [middle_in, middle_out, none])
    assert metric.evaluate(3)['rec/pointing'] == approx(100 / 3)


def test_one_answer_for_several_phrases_needs_a_text_each():
    prediction = answer('a', '', (0, 0, 100, 50))
    prediction.sample.phrases.append(Phrase('that', meta={'box_xyxy': (0, 0, 1, 1)}))
    with pytest.raises(ValueError, match='answers'):
        TextBoxes()(prediction)
    prediction.meta['answers'] = ['[0,0,0.5,0.5]', 'no']
    assert TextBoxes('normalised')(prediction) == [(0, 0, 100, 50), None]


def test_boxes_of_a_head():
    prediction = answer('a', '', (0, 0, 10, 10))
    prediction.meta['boxes_xyxy'] = torch.tensor([[0, 0, 10, 5]])
    metric = RECMetric(reader=HeadBoxes())
    metric.process({}, [prediction])
    entry = metric.results[0]
    assert json.loads(json.dumps(entry)) == entry
    assert metric.evaluate(1)['rec/miou'] == approx(50)
    with pytest.raises(ValueError, match='box head'):
        HeadBoxes()(answer('b', '', (0, 0, 1, 1)))


def test_skipped_expressions_are_missed_and_nothing_is_nan():
    metric = RECMetric()
    metric.process({'skipped': [SkippedSample('a', 'image_unreadable', '', (Phrase('x'),))]}, [])
    assert metric.evaluate(1)['rec/precision@0.5'] == 0
    assert math.isnan(metric.evaluate(0)['rec/precision@0.5'])
    assert 'rec/precision@0.5' in metric.notes


def test_a_phrase_without_any_truth_is_an_error():
    prediction = answer('a', '', None)
    with pytest.raises(ValueError, match='true box'):
        RECMetric(reader=MaskBoxes()).process({}, [prediction])
