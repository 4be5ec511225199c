"""Scores of generalised referring expression segmentation (gRefCOCO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flmm.evaluation.generalised import gres_ratios
from flmm.evaluation.metrics.mask_metric import EMPTY_IOU, Entry, MaskMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS


@METRICS.register_module()
class GRESMetric(MaskMetric):
    """gIoU, cIoU, N-acc, T-acc and precision@t of gRefCOCO.

    What they mean: :func:`flmm.evaluation.generalised.gres_ratios`.

    Keys (percent): ``giou``, ``ciou``, ``n_acc``, ``t_acc``, ``precision@0.7/0.8/0.9``, and
    ``miou_multi_target``, the mean IoU of phrases that name several objects; besides
    ``num_phrases`` and ``num_skipped``.

    Args:
        min_area: A mask of fewer pixels means "no target". 1: only an empty one; some papers
            take 50.
        **kwargs: Of :class:`MaskMetric`.
    """

    default_prefix = 'gres'
    headline = 'giou'

    def __init__(self, min_area: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if min_area < 1:
            raise ValueError(f'min_area is a number of pixels of at least 1, got {min_area}.')
        self.min_area = min_area

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            **super().protocol(),
            EMPTY_IOU: 1,
            'no target': f'a mask of fewer than {self.min_area} pixels',
            'precision@t': 'IoU >= t, phrases with targets only',
        }

    def phrase_ratios(self, table: dict[str, np.ndarray]) -> dict[str, Ratio]:
        """The scores, in 0..1, as ratios of sums over phrases."""
        # The entry of a skipped sample has no pixels: it must not pass for a right "nothing".
        missed = table['pixels'] == 0
        counts = [table[key] for key in ('intersection', 'union', 'gt_area')]
        ratios = gres_ratios(*counts, missed, self.min_area)
        return {**ratios, 'miou_multi_target': Ratio.mean(table['iou'], table['plural'])}

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """``giou`` of each sample, in percent: a right "no target" is 100, not the IoU 0."""
        return (100 * self.ratios(entries)['giou'].each).tolist()
