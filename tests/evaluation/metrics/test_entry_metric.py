"""One entry per sample, merged over processes and repetitions."""

import math

import pytest

from flmm.evaluation.metrics.entry_metric import EntryMetric, merge_entries
from flmm.structures import SkippedSample
from flmm.utils.errors import FLMMError


class Share(EntryMetric):
    """Percent of entries that are right; nan without any."""

    default_prefix = 'share'
    headline = 'right'
    ground_truth_keys = ('truth',)

    def entry(self, prediction):
        return {'id': prediction[0], 'skipped': '', 'truth': 1, 'right': prediction[1]}

    def skipped_entry(self, sample):
        return {'id': sample.sample_id, 'skipped': sample.reason, 'truth': 1, 'right': False}

    def compute_metrics(self, results):
        rights = [entry['right'] for entry in results]
        return {'right': 100 * sum(rights) / len(rights) if rights else math.nan}


def test_predictions_and_skipped_samples_of_a_batch_are_entries():
    metric = Share()
    batch = {'skipped': [SkippedSample('c', 'no_phrase', '')]}
    metric.process(batch, [('a', True), ('b', True)])
    assert metric.running() == pytest.approx(200 / 3)
    assert metric.evaluate(3) == {'share/right': pytest.approx(200 / 3)}
    assert [entry['id'] for entry in metric.entries] == ['a', 'b', 'c']
    # Ready for the next evaluation.
    assert metric.results == [] and math.isnan(metric.running())


def test_a_repeated_sample_counts_once_whatever_the_order():
    one, other = ({'id': name, 'truth': 1, 'right': name == 'a'} for name in 'ab')
    assert Share().conclude([one, other, one]) == {'share/right': 50.0}
    assert merge_entries([other, one]) == [one, other]


def test_two_samples_with_one_id_are_an_error():
    with pytest.raises(FLMMError, match="have the id 'a'"):
        merge_entries([{'id': 'a', 'truth': 1}, {'id': 'a', 'truth': 2}], ['truth'])


def test_a_score_of_nothing_says_why():
    metric = Share(prefix='mine')
    values = metric.conclude([])
    assert math.isnan(values['mine/right'])
    assert metric.notes == {'mine/right': 'no sample to compute right from'}
    metric.reasons['right'] = 'nobody asked'
    metric.conclude([])
    assert metric.notes == {'mine/right': 'nobody asked'}


def test_without_scores_per_sample_there_is_nothing_to_compare():
    assert all(math.isnan(score) for score in Share().sample_scores([{}, {}]))
    assert Share().ratios([]) == {} and Share().protocol() == {}
