"""What the mask metrics share: one small entry per sample, merged by sample id."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from flmm.evaluation import functional as F
from flmm.evaluation.metrics.ground_truth import ground_truth_area
from flmm.structures import GroundingPrediction, GroundingSample, Phrase, SkippedSample
from flmm.utils.errors import FLMMError

SOURCES = ('pred_masks', 'coarse_masks')
COUNTS = ('intersection', 'union', 'correct', 'pixels', 'gt_area')
FLAGS = ('plural', 'isthing')

Entry = dict[str, Any]


class MaskMetric(BaseMetric):
    """Base of the metrics on masks; abstract, a subclass says which scores.

    Each sample appends one entry of counts (never masks), keyed by its id: processes are merged
    exactly and samples that a sampler repeats count once. A skipped sample appends an entry too:
    its phrases count as missed, so their IoU and pixel accuracy are 0; their ground-truth areas,
    where the annotation can still be read, enter the union of cIoU.

    Args:
        source: Which masks of the prediction: ``'pred_masks'`` or ``'coarse_masks'``.
        prefix: Of the keys, ``<prefix>/<key>``; by default the metric's own, with ``coarse/``
            before it for the coarse masks.
        collect_device: As in mmengine; kept for configs, the entries are always plain objects.

    Attributes:
        entries: After ``evaluate``: the merged entries, sorted by id.
        notes: After ``evaluate``: for each score that is nan, why.
    """

    #: Name of the score that a progress bar shows.
    headline = ''

    def __init__(
        self,
        source: str = 'pred_masks',
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        if source not in SOURCES:
            raise ValueError(f'source of a metric must be one of {SOURCES}, got {source!r}.')
        coarse = 'coarse/' if source == 'coarse_masks' else ''
        super().__init__(collect_device, prefix or coarse + self.default_prefix)
        self.source = source
        self.entries: list[Entry] = []
        self.notes: dict[str, str] = {}

    @abstractmethod
    def scores(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute the scores, in percent.

        Args:
            table: ``(P,)`` arrays over all phrases: the counts and flags of the entries and
                ``iou``.
        """

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'masks': self.source,
            'iou of two empty masks': 0,
            'skipped samples': 'their phrases count as missed',
        }

    def process(self, data_batch: dict | None, data_samples: Sequence[GroundingPrediction]) -> None:
        """Append the entries of a batch.

        Args:
            data_batch: What the collate function made; only its ``skipped`` list is read.
            data_samples: What the system predicted.
        """
        self.results.extend(self._entry(prediction) for prediction in data_samples)
        skipped = (data_batch or {}).get('skipped', ())
        self.results.extend(skipped_entry(sample) for sample in skipped)

    def evaluate(self, size: int) -> dict[str, float]:
        """Merge the entries of all processes and compute the scores.

        Args:
            size: Number of samples that should have an entry; only checked, nothing is cut.

        Returns:
            ``{'<prefix>/<key>': value}``.
        """
        gathered = all_gather_object(self.results)
        self.entries = merge_entries(entry for part in gathered for entry in part)
        self.results.clear()
        if len(self.entries) != size:
            print_log(
                f'{self.prefix}: {len(self.entries)} samples were scored, {size} expected. '
                'Two samples with the same id count once.',
                logger='current',
                level=logging.WARNING,
            )
        metrics = self.compute_metrics(self.entries)
        self.notes = {
            f'{self.prefix}/{key}': f'no phrase to compute {key} from'
            for key, value in metrics.items()
            if math.isnan(value)
        }
        for key, reason in self.notes.items():
            print_log(f'{key} is nan: {reason}.', logger='current', level=logging.WARNING)
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()}

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        table = tabulate(results)
        return {
            **self.scores(table),
            'num_phrases': len(table['iou']),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def running(self) -> float:
        """The headline score of what this process has seen so far (nan before the first)."""
        return self.scores(tabulate(merge_entries(self.results)))[self.headline]

    def _entry(self, prediction: GroundingPrediction) -> Entry:
        sample = prediction.sample
        masks = getattr(prediction, self.source)
        if masks is None:
            raise ValueError(
                f'{type(self).__name__} scores {self.source}, but the prediction of '
                f'{sample.sample_id} has none. Does the system have such a stage?'
            )
        return mask_entry(sample, masks)


def mask_entry(sample: GroundingSample, masks: F.Array) -> Entry:
    """Reduce one prediction to counts per phrase.

    Args:
        sample: With ``gt_masks``.
        masks: ``(P, H, W)`` bool, the prediction.

    Raises:
        ValueError: No ground truth, or masks of another shape.
    """
    if sample.gt_masks is None:
        raise ValueError(
            f'Sample {sample.sample_id} has no ground-truth masks. Does the pipeline of the test '
            'dataset contain LoadMasks?'
        )
    gt_masks = F.as_bool_masks(sample.gt_masks)
    try:
        intersection, union = F.intersection_and_union(masks, gt_masks)
        correct = F.correct_pixels(masks, gt_masks)
    except ValueError as error:
        raise ValueError(f'Sample {sample.sample_id}: {error}') from error
    if len(sample.phrases) != len(gt_masks):
        raise ValueError(
            f'Sample {sample.sample_id} has {len(sample.phrases)} phrases but '
            f'{len(gt_masks)} ground-truth masks.'
        )
    return {
        'id': sample.sample_id,
        'skipped': '',
        'intersection': intersection.tolist(),
        'union': union.tolist(),
        'correct': correct.tolist(),
        'pixels': [gt_masks.shape[1] * gt_masks.shape[2]] * len(gt_masks),
        'gt_area': np.count_nonzero(gt_masks, axis=(1, 2)).tolist(),
        **_flags(sample.phrases),
    }


def skipped_entry(sample: SkippedSample) -> Entry:
    """The entry of a sample that could not be used: all its phrases are missed."""
    areas = [ground_truth_area(phrase) for phrase in sample.phrases]
    zeros = [0] * len(areas)
    return {
        'id': sample.sample_id,
        'skipped': sample.reason,
        'intersection': zeros,
        'union': areas,
        'correct': zeros,
        'pixels': zeros,
        'gt_area': areas,
        **_flags(sample.phrases),
    }


def merge_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Drop repeated samples and sort by id, so that every number of processes sums alike.

    Raises:
        FLMMError: Two entries have one id but different ground truth: another sample's scores
            would be lost silently.
    """
    merged: dict[str, Entry] = {}
    for entry in entries:
        first = merged.setdefault(entry['id'], entry)
        if any(first[key] != entry[key] for key in ('gt_area', *FLAGS)):
            raise FLMMError(
                f'Two different test samples have the id {entry["id"]!r}, expected ids to be '
                'unique within a task. If the task joins datasets, let their ids start with the '
                "dataset's name."
            )
    return [merged[key] for key in sorted(merged)]


def tabulate(entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Join the entries to ``(P,)`` arrays over all phrases, and add ``iou``."""
    table = {
        key: np.array([value for entry in entries for value in entry[key]], dtype=np.int64)
        for key in COUNTS
    }
    table |= {
        key: np.array([value for entry in entries for value in entry[key]], dtype=bool)
        for key in FLAGS
    }
    return table | {'iou': F.iou(table['intersection'], table['union'])}


def _flags(phrases: Sequence[Phrase]) -> dict[str, list[bool]]:
    return {key: [bool(getattr(phrase, key)) for phrase in phrases] for key in FLAGS}
