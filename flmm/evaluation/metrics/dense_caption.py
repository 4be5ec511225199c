"""Dense captioning, and captions of given places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flmm.evaluation.dense_captions import (
    IOU_THRESHOLDS,
    METEOR_THRESHOLDS,
    DescribedBox,
    dense_caption_scores,
    merge_truth,
)
from flmm.evaluation.meteor import meteor_scores
from flmm.evaluation.metrics.caption import score_entries
from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.registry import METRICS
from flmm.structures import GroundingPrediction, Region, SkippedSample


@METRICS.register_module()
class DenseCaptionMetric(EntryMetric):
    """Mean average precision over overlaps of boxes and METEOR of their captions.

    Reads ``prediction.meta['captions']`` (``text``, ``box_xyxy``, ``score``) and the true regions
    of the sample with their ``meta['caption']``.

    Keys (percent): ``map``, ``map_boxes`` (with any caption), ``ap_boxes_iou0.5``; besides
    ``num_regions`` (merged), ``num_predictions`` and ``num_skipped``. The captions of true boxes
    (a task that writes for all regions) give the upper bound of the same system with a perfect
    detector.

    Args:
        merge_iou: True boxes that overlap so much are one region with several captions.
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'dense'
    headline = 'map'
    ground_truth_keys = ('truth',)
    unit = 'region'

    def __init__(
        self, merge_iou: float = 0.7, prefix: str | None = None, collect_device: str = 'cpu'
    ) -> None:
        super().__init__(prefix, collect_device)
        self.merge_iou = merge_iou

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'true boxes are merged from IoU': self.merge_iou,
            'IoU': list(IOU_THRESHOLDS),
            'METEOR': list(METEOR_THRESHOLDS),
            'METEOR by': 'flmm: exact and stem matches; lower than the Java program',
            'skipped samples': 'their regions count as missed',
        }

    def entry(self, prediction: GroundingPrediction) -> Entry:
        """What was found in an image, and what there is."""
        sample, captions = prediction.sample, prediction.meta.get('captions')
        if captions is None:
            raise ValueError(
                f"Sample {sample.sample_id}: DenseCaptionMetric reads prediction.meta['captions'], "
                "which this prediction lacks. Is the pipeline's task 'detect' or 'write'?"
            )
        found = [[*_xywh(one['box_xyxy']), one['text'], one['score']] for one in captions]
        truth = [_described(region, sample.ori_shape) for region in sample.regions]
        return {'id': sample.sample_id, 'skipped': '', 'found': found, 'truth': truth}

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """Nothing was found; the regions count where they are known."""
        truth = [
            [*_xywh(phrase.meta['box_xyxy']), phrase.text]
            for phrase in sample.phrases
            if 'box_xyxy' in phrase.meta
        ]
        return {'id': sample.sample_id, 'skipped': sample.reason, 'found': [], 'truth': truth}

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        truths = {
            entry['id']: [DescribedBox(tuple(row[:4]), (row[4],)) for row in entry['truth']]
            for entry in results
        }
        merged = merge_truth(truths, self.merge_iou)
        found = {
            entry['id']: [DescribedBox(tuple(row[:4]), (row[4],), row[5]) for row in entry['found']]
            for entry in results
        }
        scores = dense_caption_scores(merged, found, meteor_scores)
        wanted = ('map', 'map_boxes', 'ap_boxes_iou0.5')
        return {
            **{key: 100 * scores.get(key, math.nan) for key in wanted},
            'num_regions': sum(map(len, merged.values())),
            'num_predictions': sum(map(len, found.values())),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def running(self) -> float:
        """Nothing while it runs: a precision needs all images."""
        return math.nan


@METRICS.register_module()
class PlacedCaptionMetric(EntryMetric):
    """METEOR and CIDEr of captions of given places, without Java.

    Reads ``prediction.text`` and ``sample.meta['references']``, as
    ``RegionCaptionDataset(ask='one')`` gives them.

    Keys (percent; CIDEr times 100): ``meteor`` (flmm's, see :mod:`flmm.evaluation.meteor`),
    ``cider``; besides ``num_captions``, ``num_skipped``.

    Args:
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'placed_caption'
    headline = 'meteor'
    ground_truth_keys = ('references',)
    unit = 'caption'

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'METEOR by': 'flmm: exact and stem matches; lower than the Java program',
            'CIDEr by': 'pycocoevalcap, tokenised by flmm after PTBTokenizer',
            'skipped samples': 'count as empty captions where their references are known',
        }

    def entry(self, prediction: Any) -> Entry:
        """The caption and its references."""
        sample = prediction.sample
        references = list(sample.meta.get('references') or ())
        if not references:
            raise ValueError(
                f"Sample {sample.sample_id} has no sample.meta['references']; PlacedCaptionMetric "
                'expects at least one caption there.'
            )
        return {
            'id': sample.sample_id,
            'skipped': '',
            'caption': prediction.text,
            'references': references,
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """An empty caption."""
        of_phrases = [text for phrase in sample.phrases for text in phrase.meta.get('refs', ())]
        return {
            'id': sample.sample_id,
            'skipped': sample.reason,
            'caption': '',
            'references': [*sample.references, *of_phrases],
        }

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        scores, _ = score_entries(results, ('cider',), self.reasons)
        singles = [value for value in self.sample_scores(results) if not math.isnan(value)]
        return {
            'meteor': sum(singles) / len(singles) if singles else math.nan,
            'cider': scores['cider'] if singles else math.nan,
            'num_captions': len(results),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """METEOR of each caption, in percent; nan without a reference."""
        return [
            100 * meteor_scores([entry['caption']], [entry['references']])[0]
            if entry['references']
            else math.nan
            for entry in entries
        ]


def _xywh(box: Sequence[float]) -> list[float]:
    x0, y0, x1, y1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]


def _described(region: Region, shape: tuple[int, int]) -> list[Any]:
    height, width = shape
    sides = [*region.box_xyxy]
    if region.relative:
        sides = [side * (width, height)[axis % 2] for axis, side in enumerate(sides)]
    return [*_xywh(sides), str(region.meta.get('caption', ''))]
