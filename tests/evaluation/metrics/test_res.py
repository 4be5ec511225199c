from pytest import approx

from flmm.evaluation.metrics import RESMetric


def test_scores_are_percent(make_prediction):
    # IoUs 1/1 and 1/4: mean 62.5; areas (1 + 1) / (1 + 4) = 40.
    metric = RESMetric(prefix='val/res')
    metric.process({}, [make_prediction('a', ['1000'], ['1000'])])
    metric.process({}, [make_prediction('b', ['1000'], ['1111'])])
    assert metric.evaluate(2) == {
        'val/res/ciou': approx(40.0),
        'val/res/miou': approx(62.5),
        **{f'val/res/precision@0.{digit}': approx(50.0) for digit in (5, 6, 7, 8, 9)},
        'val/res/num_phrases': 2,
        'val/res/num_skipped': 0,
    }


def test_coarse_masks_are_scored_by_themselves(make_prediction):
    prediction = make_prediction('a', ['11'], ['11'], coarse=['10'])
    metric = RESMetric(source='coarse_masks')
    metric.process({}, [prediction])
    assert metric.evaluate(1)['coarse/res/ciou'] == approx(50.0)
