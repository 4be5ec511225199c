import numpy as np
import pytest
from pytest import approx

from flmm.evaluation.comparison import compare_entries
from flmm.evaluation.metrics import CaptionMetric, PNGMetric, RESMetric
from flmm.utils.errors import FLMMError


def entry(name, intersection, union=10, area=8):
    return {
        'id': name,
        'skipped': '',
        'intersection': [intersection],
        'union': [union],
        'correct': [intersection],
        'pixels': [20],
        'gt_area': [area],
        'plural': [False],
        'isthing': [True],
    }


def test_scores_differences_and_wins_of_two_runs():
    first = [entry('a', 5), entry('b', 6), entry('c', 7), entry('d', 0)]
    second = [entry('a', 6), entry('b', 5), entry('c', 7), entry('d', 8)]
    result = compare_entries(RESMetric(), [first, second], resamples=200)
    # 18 / 40 and 26 / 40.
    assert [i.value for i in result.scores['ciou']] == [approx(45.0), approx(65.0)]
    [difference] = result.differences['ciou']
    assert difference.value == approx(20.0)
    assert difference.low < 20.0 < difference.high
    assert result.wins == ((2, 1, 1),)
    assert [result.ids[i] for i in result.largest_differences(2)] == ['d', 'a']


def test_equal_runs_differ_by_nothing_in_every_resample():
    run = [entry(str(i), i) for i in range(10)]
    result = compare_entries(RESMetric(), [run, run], resamples=50)
    [difference] = result.differences['miou']
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert result.scores['miou'][0].low < result.scores['miou'][0].high
    assert result.largest_differences(3) == []


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    rng = np.random.default_rng(3)
    run = [entry(str(i), int(v)) for i, v in enumerate(rng.integers(0, 11, 400))]
    interval = compare_entries(RESMetric(), [run, run], resamples=2000).scores['miou'][0]
    error = 10 * np.std([e['intersection'][0] for e in run]) / np.sqrt(len(run))
    assert interval.high - interval.low == approx(2 * 1.96 * error, rel=0.08)


def test_a_score_over_nothing_has_no_interval():
    result = compare_entries(PNGMetric(), [[entry('a', 1)]] * 2, resamples=20)
    [first, _] = result.scores['average_recall_plural']
    assert np.isnan([first.value, first.low, first.high]).all()


def test_scores_that_are_no_ratios_are_computed_for_every_resample():
    class Best(RESMetric):
        def ratios(self, entries):
            return {}

        def scores(self, table):
            return {'best': 100 * float(table['iou'].max())}

    run = [entry(str(i), i) for i in range(10)]
    [first, _] = compare_entries(Best(), [run, run], resamples=40).scores['best']
    assert first.value == approx(90.0) and first.low <= first.high <= 90.0 + 1e-6


def test_only_samples_of_all_runs_count():
    result = compare_entries(RESMetric(), [[entry('a', 5), entry('b', 0)], [entry('a', 5)]], 10)
    assert result.ids == ('a',)
    with pytest.raises(FLMMError, match='no sample in common'):
        compare_entries(RESMetric(), [[entry('a', 5)], [entry('b', 5)]])


def test_other_ground_truth_is_refused():
    with pytest.raises(FLMMError, match='Sample a has another gt_area'):
        compare_entries(RESMetric(), [[entry('a', 5)], [entry('a', 5, area=9)]])


def test_a_sample_that_one_run_had_to_skip_counts_as_missed_there():
    # Its area could not be read in that run.
    skipped = {**entry('a', 0, union=0, area=0), 'skipped': 'image_unreadable'}
    first = [entry('a', 5), entry('b', 5)]
    result = compare_entries(RESMetric(), [first, [skipped, entry('b', 5)]], resamples=10)
    assert [i.value for i in result.scores['miou']] == [approx(50.0), approx(25.0)]
    assert result.wins == ((0, 1, 1),)


def caption(name, text):
    return {'id': name, 'skipped': '', 'caption': text, 'references': ['a red ring on grass']}


def test_a_caption_that_a_resample_draws_twice_counts_twice():
    # BLEU-1 of all is the share of right words: 4 of 5 in one caption, 0 of 5 in the other.
    right, wrong = caption('a', 'a red ring on mud'), caption('b', 'no no no no no')
    metric = CaptionMetric(('bleu',))
    assert metric.compute_metrics([right, wrong])['bleu_1'] == approx(40.0)
    assert metric.compute_metrics([right, wrong, wrong, wrong])['bleu_1'] == approx(20.0)
    assert metric.sample_scores([wrong, wrong, right])[:2] == [approx(0.0)] * 2
    run = [right, wrong]
    [first, _] = compare_entries(metric, [run, run], resamples=60).scores['bleu_1']
    # A quarter of the draws has only the wrong one, a quarter only the right one.
    assert (first.low, first.high) == (approx(0.0, abs=1e-6), approx(80.0))
