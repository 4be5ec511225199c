"""How well words point: distance to their trace, and whether they hit their object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flmm.evaluation import functional as F
from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.evaluation.word_locations import points_at
from flmm.registry import METRICS
from flmm.structures import GroundingPrediction, GroundingSample, Phrase, SkippedSample

_KINDS = ('things', 'groups', 'stuff')


@METRICS.register_module()
class WordLocationMetric(EntryMetric):
    """Distance of words to their traces, and share of words that point at their object.

    Keys: ``trace_l1``, mean absolute difference to the trace's mean place
    (``phrase.meta['point']``), over x and y, in percent of the image; ``pointing``, percent of
    the words with an object whose point lies inside it: its mask (``sample.gt_masks``), else its
    box (``phrase.meta['box_xyxy']``); the same of words for single things, groups of things, and
    stuff: ``pointing_things``, ``pointing_groups``, ``pointing_stuff``; ``num_words``,
    ``num_objects``, ``num_skipped``.

    A word without a prediction is wrong: its distance is that of the opposite side, 100, and it
    hits nothing. So are the words of skipped samples.

    Args:
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'words'
    headline = 'pointing'
    ground_truth_keys = ('words',)
    unit = 'word'

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'words without a prediction': 'distance 100, no hit',
            'skipped samples': 'their words count as missed',
            'place of a trace': 'its mean over time',
        }

    def entry(self, prediction: GroundingPrediction) -> Entry:
        """Distances and hits of one sample's words."""
        sample, points = prediction.sample, prediction.meta.get('points')
        if points is None or len(points) != len(sample.phrases):
            raise ValueError(
                f'Sample {sample.sample_id} has {len(sample.phrases)} words; expected a point or '
                "None for each in prediction.meta['points']."
            )
        distances, hits = [], []
        for index, point in enumerate(points):
            distances.append(_distance(sample, index, point))
            target = _object(sample, index)
            hits.append(None if target is None else points_at(point, target))
        return {
            'id': sample.sample_id,
            'skipped': '',
            'words': [phrase.text for phrase in sample.phrases],
            'kind': [_kind(phrase) for phrase in sample.phrases],
            'distance': distances,
            'hit': hits,
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """Every word of a skipped sample is missed."""
        traced = [1.0 if 'point' in phrase.meta else None for phrase in sample.phrases]
        known = [p.mask is not None or 'box_xyxy' in p.meta for p in sample.phrases]
        boxed = [False if there else None for there in known]
        return {
            'id': sample.sample_id,
            'skipped': sample.reason,
            'words': [phrase.text for phrase in sample.phrases],
            'kind': [_kind(phrase) for phrase in sample.phrases],
            'distance': traced,
            'hit': boxed,
        }

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """The scores, in 0..1, with one term per entry."""
        scores = {}
        for name, key, kind in (
            ('trace_l1', 'distance', None),
            ('pointing', 'hit', None),
            *((f'pointing_{kind}', 'hit', kind) for kind in _KINDS),
        ):
            values = [
                [
                    value
                    for value, own in zip(entry[key], entry['kind'], strict=True)
                    if value is not None and kind in (None, own)
                ]
                for entry in entries
            ]
            flat = np.array([v for row in values for v in row], dtype=np.float64)
            groups = np.repeat(np.arange(len(entries)), [len(row) for row in values])
            scores[name] = Ratio.mean(flat).group(groups.astype(np.int64), len(entries))
        return scores

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """Share of each sample's words that hit, in percent; nan without an object."""
        hits = [[v for v in entry['hit'] if v is not None] for entry in entries]
        return [100 * F.mean(row) for row in hits]

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        return {
            **{key: 100 * ratio.value for key, ratio in self.ratios(results).items()},
            'num_words': sum(len(entry['words']) for entry in results),
            'num_objects': sum(v is not None for entry in results for v in entry['hit']),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }


def _kind(phrase: Phrase) -> str:
    if not phrase.isthing and not phrase.plural:
        return 'stuff'
    return 'groups' if phrase.plural else 'things'


def _distance(sample: GroundingSample, index: int, point: Sequence[float] | None) -> float | None:
    """0..1 to the trace's mean place; None for a word without a trace."""
    truth = sample.phrases[index].meta.get('point')
    if truth is None:
        return None
    if point is None or not all(map(math.isfinite, point)):
        return 1.0
    height, width = sample.ori_shape
    distance = (abs(point[0] / width - truth[0]) + abs(point[1] / height - truth[1])) / 2
    return min(distance, 1.0)


def _object(sample: GroundingSample, index: int) -> np.ndarray | tuple | None:
    """Mask or box of what a word names; None if nobody knows."""
    if sample.gt_masks is not None:
        return np.asarray(sample.gt_masks[index])
    box = sample.phrases[index].meta.get('box_xyxy')
    return None if box is None else tuple(box)
