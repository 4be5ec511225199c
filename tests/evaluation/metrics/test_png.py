import math

from pytest import approx

from flmm.evaluation.metrics import PNGMetric
from flmm.registry import METRICS


def test_subsets_follow_plural_and_isthing(make_prediction):
    # IoUs: 1/2 (singular thing), 1 (plural thing), 0 (singular stuff).
    prediction = make_prediction(
        'a', ['1000', '1111', '0000'], ['1100', '1111', '0001'], plural={1}, stuff={2}
    )
    metric = PNGMetric()
    metric.process({}, [prediction])
    scores = metric.evaluate(1)
    # Average recall counts thresholds k/100000 reached: 50001, 99999 (of 99999), 1.
    assert scores['png/average_recall'] == approx(100 * (0.50001 + 0.99999 + 0.00001) / 3)
    assert scores['png/average_recall_singular'] == approx(100 * (0.50001 + 0.00001) / 2)
    assert scores['png/average_recall_plural'] == approx(99.999)
    assert scores['png/average_recall_things'] == approx(75.0)
    assert scores['png/average_recall_stuff'] == approx(0.001)
    # IoU > 0.5 holds for one of three; right pixels 3, 4, 3 of 4.
    assert scores['png/accuracy@0.5'] == approx(100 / 3)
    assert scores['png/pixel_accuracy'] == approx(100 * 10 / 12)
    assert scores['png/num_phrases'] == 3


def test_a_subset_without_phrases_is_nan_and_says_why(make_prediction):
    metric = PNGMetric()
    metric.process({}, [make_prediction('a', ['1'], ['1'])])
    scores = metric.evaluate(1)
    assert math.isnan(scores['png/average_recall_plural'])
    assert 'average_recall_plural' in metric.notes['png/average_recall_plural']
    assert 'png/average_recall_singular' not in metric.notes


def test_it_can_be_built_from_a_config():
    metric = METRICS.build(dict(type='PNGMetric', source='coarse_masks'))
    assert metric.prefix == 'coarse/png'
    assert metric.protocol()['masks'] == 'coarse_masks'
