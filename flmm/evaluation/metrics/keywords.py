"""How well a keyword selector finds the tokens of the phrases to ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS
from flmm.structures import SkippedSample


@METRICS.register_module()
class KeywordMetric(EntryMetric):
    """Precision, recall and F1 of keyword tokens, counted over all samples.

    Reads what ``KeywordSelection`` predicts: counts of tokens chosen, true, and both.

    Keys (percent): ``precision``, ``recall``, ``f1``; besides ``num_tokens`` (true ones) and
    ``num_skipped``.
    """

    default_prefix = 'keywords'
    headline = 'f1'
    ground_truth_keys = ('true',)
    unit = 'token'

    def entry(self, prediction: Mapping[str, Any]) -> Entry:
        """The counts of one sample."""
        return {
            'id': prediction['sample_id'],
            'skipped': '',
            **{key: int(prediction[key]) for key in ('chosen', 'true', 'both')},
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """No token: it is not known how many there would have been."""
        return {'id': sample.sample_id, 'skipped': sample.reason, 'chosen': 0, 'true': 0, 'both': 0}

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """The scores, in 0..1, with one term per sample."""
        chosen, true, both = (
            np.array([entry[key] for entry in entries], dtype=np.float64)
            for key in ('chosen', 'true', 'both')
        )
        return {
            'precision': Ratio(both, chosen),
            'recall': Ratio(both, true),
            'f1': Ratio(2 * both, chosen + true),
        }

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        return {
            **{key: 100 * ratio.value for key, ratio in self.ratios(results).items()},
            'num_tokens': sum(entry['true'] for entry in results),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """F1 of each sample, in percent."""
        return (100 * self.ratios(entries)['f1'].each).tolist()
