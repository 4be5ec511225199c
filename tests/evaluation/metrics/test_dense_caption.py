import math

import pytest
import torch

from flmm.evaluation.metrics import DenseCaptionMetric, PlacedCaptionMetric
from flmm.structures import GroundingPrediction, GroundingSample, Phrase, Region, SkippedSample

RED, STAR = 'a red circle on the grass', 'a yellow star'


def image(name, *regions, **fields):
    boxes = [Region(box, meta={'caption': text}) for box, text in regions]
    return GroundingSample(name, ori_shape=(50, 100), regions=boxes, **fields)


def found(sample, *captions):
    rows = [dict(text=text, box_xyxy=box, score=score) for box, text, score in captions]
    masks = torch.zeros(0, 50, 100)
    text = rows[0]['text'] if rows else ''
    return GroundingPrediction(sample, masks, text=text, meta={'captions': rows})


def evaluate(metric, *predictions, skipped=()):
    metric.process({'skipped': list(skipped)}, predictions)
    return metric.evaluate(len(predictions) + len(skipped))


def test_perfect_boxes_and_captions_score_100_but_for_recall_steps():
    sample = image('a', ((0, 0, 20, 20), RED), ((50, 10, 90, 40), STAR))
    right = [((0, 0, 20, 20), RED, 0.9), ((50, 10, 90, 40), STAR, 0.8)]
    scores = evaluate(DenseCaptionMetric(), found(sample, *right))
    assert scores['dense/map'] == scores['dense/map_boxes'] == pytest.approx(100)
    assert scores['dense/num_regions'] == scores['dense/num_predictions'] == 2
    swapped = [((0, 0, 20, 20), 'stone', 0.9), ((50, 10, 90, 40), STAR, 0.8)]
    scores = evaluate(DenseCaptionMetric(), found(sample, *swapped))
    assert scores['dense/map_boxes'] == pytest.approx(100)
    # One of two is right, behind a wrong one: precision 1/2 up to recall 1/2, of 100 steps 51.
    assert scores['dense/map'] == pytest.approx(25.5)


def test_overlapping_true_boxes_are_one_region_and_relative_ones_are_read():
    regions = [((0, 0, 20, 20), RED), ((0, 0, 20, 19), 'circle')]
    sample = image('a', *regions)
    sample.regions.append(Region((0.5, 0.2, 0.9, 0.8), relative=True, meta={'caption': STAR}))
    right = [((0, 0, 20, 20), 'circle', 0.9), ((50, 10, 90, 40), STAR, 0.8)]
    scores = evaluate(DenseCaptionMetric(), found(sample, *right))
    assert scores['dense/num_regions'] == 2 and scores['dense/map'] == pytest.approx(100)


def test_what_is_missing_counts_as_missed():
    sample = image('a', ((0, 0, 20, 20), RED))
    lost = SkippedSample(
        'b', 'image_unreadable', phrases=(Phrase(STAR, meta={'box_xyxy': (0, 0, 9, 9)}),)
    )
    scores = evaluate(
        DenseCaptionMetric(), found(sample, ((0, 0, 20, 20), RED, 1.0)), skipped=[lost]
    )
    assert scores['dense/map'] == pytest.approx(51) and scores['dense/num_skipped'] == 1
    assert evaluate(DenseCaptionMetric(), found(sample))['dense/map'] == 0
    with pytest.raises(ValueError, match='detect'):
        DenseCaptionMetric().entry(GroundingPrediction(sample, torch.zeros(0, 50, 100)))


def test_captions_of_places_by_meteor_and_cider():
    samples = [image(name, meta={'references': [text]}) for name, text in (('a', RED), ('b', STAR))]
    metric = PlacedCaptionMetric()
    predictions = [
        found(samples[0], ((0, 0, 1, 1), RED, 1.0)),
        found(samples[1], ((0, 0, 1, 1), 'a stone', 1.0)),
    ]
    scores = evaluate(metric, *predictions)
    first, second = metric.sample_scores(metric.entries)
    assert first == pytest.approx(100) and second < 50
    assert scores['placed_caption/meteor'] == pytest.approx((first + second) / 2)
    assert scores['placed_caption/cider'] > 0 and scores['placed_caption/num_captions'] == 2
    empty = PlacedCaptionMetric()
    assert math.isnan(
        evaluate(empty, skipped=[SkippedSample('c', 'no_phrase')])['placed_caption/meteor']
    )
    with pytest.raises(ValueError, match='references'):
        empty.entry(found(image('d'), ((0, 0, 1, 1), RED, 1.0)))
