"""What the mask metrics share: an entry of pixel counts per sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flmm.evaluation import functional as F
from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric, merge_entries
from flmm.evaluation.metrics.ground_truth import ground_truth_area
from flmm.evaluation.ratio import Ratio
from flmm.structures import GroundingPrediction, GroundingSample, Phrase, SkippedSample
from flmm.utils.masks import encode_rle

__all__ = ['EMPTY_IOU', 'MaskMetric', 'mask_entry', 'merge_entries', 'skipped_entry', 'tabulate']

SOURCES = ('pred_masks', 'coarse_masks')
COUNTS = ('intersection', 'union', 'correct', 'pixels', 'gt_area')
FLAGS = ('plural', 'isthing')
#: Key of the protocol: what counts where neither mask has a pixel.
EMPTY_IOU = 'iou of two empty masks'


class MaskMetric(EntryMetric):
    """Base of the metrics on masks; abstract, a subclass says which scores.

    A skipped sample has an entry too: its phrases count as missed, so their IoU and pixel
    accuracy are 0; their ground-truth areas, where the annotation can still be read, enter the
    union of cIoU.

    A subclass implements ``phrase_ratios``, or ``scores`` where a score is no ratio of sums.

    Args:
        source: Which masks of the prediction: ``'pred_masks'`` or ``'coarse_masks'``.
        prefix: Of the keys, ``<prefix>/<key>``; by default the metric's own, with ``coarse/``
            before it for the coarse masks.
        collect_device: As in mmengine; kept for configs, the entries are always plain objects.
        keep_masks: Put the predicted masks as run lengths into the entries, so that result
            files can be drawn, compared and scored anew.
    """

    ground_truth_keys = ('gt_area', *FLAGS)
    unit = 'phrase'

    def __init__(
        self,
        source: str = 'pred_masks',
        prefix: str | None = None,
        collect_device: str = 'cpu',
        keep_masks: bool = True,
    ) -> None:
        if source not in SOURCES:
            raise ValueError(f'source of a metric must be one of {SOURCES}, got {source!r}.')
        coarse = 'coarse/' if source == 'coarse_masks' else ''
        super().__init__(prefix or coarse + self.default_prefix, collect_device)
        self.source = source
        self.keep_masks = keep_masks

    def phrase_ratios(self, table: dict[str, np.ndarray]) -> dict[str, Ratio]:
        """The scores, in 0..1, as ratios of sums over phrases.

        Args:
            table: ``(P,)`` arrays over all phrases, see ``tabulate``.
        """
        return {}

    def scores(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute the scores, in percent.

        Args:
            table: ``(P,)`` arrays over all phrases, see ``tabulate``.
        """
        return {key: 100 * ratio.value for key, ratio in self.phrase_ratios(table).items()}

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """The scores, in 0..1, with one term per entry."""
        table = tabulate(entries)
        return {
            key: ratio.group(table['sample'], len(entries))
            for key, ratio in self.phrase_ratios(table).items()
        }

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """Mean IoU of each sample's phrases, in percent; nan for a sample without any."""
        table = tabulate(entries)
        grouped = Ratio.mean(table['iou']).group(table['sample'], len(entries))
        return (100 * grouped.each).tolist()

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'masks': self.source,
            EMPTY_IOU: 0,
            'skipped samples': 'their phrases count as missed',
        }

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        table = tabulate(results)
        return {
            **self.scores(table),
            'num_phrases': len(table['iou']),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def entry(self, prediction: GroundingPrediction) -> Entry:
        """Reduce the prediction of one sample to its counts."""
        sample = prediction.sample
        masks = getattr(prediction, self.source)
        if masks is None:
            raise ValueError(
                f'{type(self).__name__} scores {self.source}, but the prediction of '
                f'{sample.sample_id} has none. Does the system have such a stage?'
            )
        return mask_entry(sample, masks, self.keep_masks)

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """The entry of a sample that could not be used."""
        return skipped_entry(sample)


def mask_entry(sample: GroundingSample, masks: F.Array, keep_masks: bool = False) -> Entry:
    """Reduce one prediction to counts per phrase.

    Args:
        sample: With ``gt_masks``.
        masks: ``(P, H, W)`` bool, the prediction.
        keep_masks: Add ``rle``, the predicted masks as COCO's compressed run lengths.

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
        **({'rle': run_lengths(masks)} if keep_masks else {}),
    }


def run_lengths(masks: F.Array) -> list[str]:
    """COCO's compressed run lengths of ``(P, H, W)`` masks."""
    return [encode_rle(mask)['counts'] for mask in F.as_bool_masks(masks)]


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


def tabulate(entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Join the entries to ``(P,)`` arrays over all phrases.

    Returns:
        The counts (int64) and flags (bool) of the entries; ``iou`` (float32); ``sample``, the
        index of each phrase's entry.
    """
    table = {
        key: np.array([value for entry in entries for value in entry[key]], dtype=np.int64)
        for key in COUNTS
    }
    table |= {
        key: np.array([value for entry in entries for value in entry[key]], dtype=bool)
        for key in FLAGS
    }
    lengths = np.array([len(entry['union']) for entry in entries], dtype=np.int64)
    table['sample'] = np.repeat(np.arange(len(entries)), lengths)
    return table | {'iou': F.iou(table['intersection'], table['union'])}


def _flags(phrases: Sequence[Phrase]) -> dict[str, list[bool]]:
    return {key: [bool(getattr(phrase, key)) for phrase in phrases] for key in FLAGS}
