"""Scores of reasoning segmentation (ReasonSeg)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flmm.evaluation import functional as F
from flmm.evaluation.generalised import reasoning_ratios
from flmm.evaluation.metrics.mask_metric import EMPTY_IOU, Entry, MaskMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS
from flmm.structures import GroundingPrediction
from flmm.utils.masks import decode_rle


@METRICS.register_module()
class ReasonSegMetric(MaskMetric):
    """gIoU and cIoU, over all questions and over short and long ones.

    Keys (percent): ``giou``, ``ciou``, and both with suffix ``_short`` and ``_long`` (the kind is
    in the sample's id, see ``ReasonSegDataset``); besides ``num_phrases`` and ``num_skipped``.
    Pixels in ``sample.meta['ignore']`` belong to neither mask.
    """

    default_prefix = 'reason_seg'
    headline = 'giou'

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {**super().protocol(), EMPTY_IOU: 1, 'ignored pixels': 'left out'}

    def phrase_ratios(self, table: dict[str, np.ndarray]) -> dict[str, Ratio]:
        """The scores over all questions, in 0..1."""
        return reasoning_ratios(table['intersection'], table['union'], table['pixels'] == 0)

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """The scores over all, short and long questions, with one term per entry."""
        found = super().ratios(entries)
        for kind in ('short', 'long'):
            chosen = np.array([f'/{kind}/' in entry['id'] for entry in entries], dtype=bool)
            for key in ('giou', 'ciou'):
                whole = found[key]
                found[f'{key}_{kind}'] = Ratio(
                    np.where(chosen, whole.numerator, 0.0),
                    np.where(chosen, whole.denominator, 0.0),
                    0.0 if key == 'ciou' and chosen.any() else float('nan'),
                )
        return found

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        kinds = {key: 100 * ratio.value for key, ratio in self.ratios(results).items()}
        return super().compute_metrics(results) | kinds

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """``giou`` of each question, in percent; two empty masks are 100."""
        return (100 * self.ratios(entries)['giou'].each).tolist()

    def entry(self, prediction: GroundingPrediction) -> Entry:
        """Reduce the prediction of one sample to its counts, pixels to ignore left out."""
        sample = prediction.sample
        ignore = sample.meta.get('ignore')
        masks = getattr(prediction, self.source)
        if ignore is None or masks is None or sample.gt_masks is None:
            return super().entry(prediction)
        counted = ~decode_rle(ignore, sample.ori_shape)
        cut = replace(sample, gt_masks=F.as_bool_masks(sample.gt_masks) & counted)
        fields = {self.source: F.as_bool_masks(masks) & counted}
        return super().entry(replace(prediction, sample=cut, **fields))
