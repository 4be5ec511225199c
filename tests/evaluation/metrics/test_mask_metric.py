import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from flmm.evaluation.metrics import PNGMetric, RESMetric
from flmm.evaluation.metrics.mask_metric import mask_entry, merge_entries
from flmm.structures import CocoMask, Phrase, SkippedSample
from flmm.utils.errors import FLMMError

# A 2x3 rectangle in an image of any size.
SQUARE = CocoMask(([[0, 0, 3, 0, 3, 2, 0, 2]],))


def skipped(sample_id, *masks):
    phrases = tuple(Phrase('gone', mask=mask) for mask in masks)
    return SkippedSample(sample_id, 'image_unreadable', 'no such file', phrases)


def test_phrases_of_skipped_samples_count_as_missed(make_prediction):
    metric = RESMetric()
    metric.process({'skipped': [skipped('b', SQUARE)]}, [make_prediction('a', ['11'], ['11'])])
    scores = metric.evaluate(2)
    # IoUs 1 and 0; areas 2 / (2 + 6).
    assert scores['res/miou'] == approx(50.0)
    assert scores['res/ciou'] == approx(25.0)
    assert (scores['res/num_phrases'], scores['res/num_skipped']) == (2, 1)


def test_an_unreadable_annotation_adds_no_area_but_is_counted(make_prediction):
    metric = RESMetric()
    metric.process(
        {'skipped': [skipped('b', CocoMask(('nonsense',))), skipped('c')]},
        [make_prediction('a', ['11'], ['11'])],
    )
    scores = metric.evaluate(3)
    assert scores['res/ciou'] == approx(100.0)
    assert scores['res/miou'] == approx(50.0)
    assert scores['res/num_skipped'] == 2


def test_a_skipped_sample_lowers_pixel_accuracy_too(make_prediction):
    metric = PNGMetric()
    metric.process({'skipped': [skipped('b', SQUARE)]}, [make_prediction('a', ['11'], ['11'])])
    assert metric.evaluate(2)['png/pixel_accuracy'] == approx(50.0)


def test_nothing_is_cut_to_the_size_of_the_dataset(make_prediction):
    # mmengine's BaseMetric would keep only `size` of the results.
    metric = RESMetric()
    metric.process({}, [make_prediction(name, ['11'], ['11']) for name in 'abc'])
    assert metric.evaluate(1)['res/num_phrases'] == 3


def test_a_repeated_sample_counts_once(make_prediction):
    metric = RESMetric()
    metric.process({}, [make_prediction('a', ['11'], ['11']), make_prediction('b', ['0'], ['1'])])
    metric.process({}, [make_prediction('a', ['11'], ['11'])])
    scores = metric.evaluate(2)
    assert scores['res/num_phrases'] == 2
    assert [entry['id'] for entry in metric.entries] == ['a', 'b']


def test_two_samples_with_one_id_are_an_error_not_a_lost_score(make_prediction):
    metric = RESMetric()
    metric.process({}, [make_prediction('a', ['11'], ['11']), make_prediction('a', ['11'], ['01'])])
    with pytest.raises(FLMMError, match="'a'"):
        metric.evaluate(2)


def test_a_metric_starts_anew_after_evaluate(make_prediction):
    metric = RESMetric()
    metric.process({}, [make_prediction('a', ['0'], ['1'])])
    metric.evaluate(1)
    metric.process({}, [make_prediction('b', ['1'], ['1'])])
    assert metric.evaluate(1)['res/ciou'] == approx(100.0)


def test_entries_are_small_plain_json(make_prediction):
    entry = mask_entry(
        make_prediction('a', ['110'], ['011']).sample,
        make_prediction('a', ['110'], ['011']).pred_masks,
    )
    assert json.loads(json.dumps(entry)) == {
        'id': 'a',
        'skipped': '',
        'intersection': [1],
        'union': [3],
        'correct': [1],
        'pixels': [3],
        'gt_area': [2],
        'plural': [False],
        'isthing': [True],
    }


@given(st.permutations(range(8)), st.integers(0, 8))
def test_scores_do_not_depend_on_how_processes_share_the_samples(order, cut):
    entries = [
        {'id': str(i), 'gt_area': [i], 'plural': [False], 'isthing': [True]} for i in range(8)
    ]
    shuffled = [entries[i] for i in order]
    assert merge_entries(shuffled[cut:] + shuffled[:cut] + shuffled[:2]) == entries


def test_a_missing_stage_is_named(make_prediction):
    metric = RESMetric(source='coarse_masks')
    with pytest.raises(ValueError, match='coarse_masks.*sample-7'):
        metric.process({}, [make_prediction('sample-7', ['1'], ['1'])])


def test_a_missing_ground_truth_says_what_to_do(make_prediction):
    prediction = make_prediction('a', ['1'], ['1'])
    prediction.sample.gt_masks = None
    with pytest.raises(ValueError, match='LoadMasks'):
        RESMetric().process({}, [prediction])


def test_masks_of_another_size_name_the_sample(make_prediction):
    prediction = make_prediction('a', ['11'], ['1'])
    with pytest.raises(ValueError, match='Sample a'):
        RESMetric().process({}, [prediction])


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match='masks_of_mine'):
        RESMetric(source='masks_of_mine')


def test_running_shows_the_score_so_far(make_prediction):
    metric = RESMetric()
    metric.process({}, [make_prediction('a', ['10'], ['11'])])
    assert metric.running() == approx(50.0)
    assert len(metric.results) == 1
