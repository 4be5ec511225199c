"""Scores of referring expression segmentation (RES)."""

from __future__ import annotations

from typing import Any

import numpy as np

from flmm.evaluation import functional as F
from flmm.evaluation.metrics.mask_metric import MaskMetric
from flmm.registry import METRICS

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@METRICS.register_module()
class RESMetric(MaskMetric):
    """Cumulative and mean IoU of referring expression segmentation.

    Keys (percent): ``ciou`` (sum of intersections over sum of unions), ``miou`` (mean over
    expressions), ``precision@0.5`` to ``precision@0.9`` (IoU >= t); besides ``num_phrases`` and
    ``num_skipped``. ``ciou`` and ``miou`` equal mmdet's ``RefSegMetric``.
    """

    default_prefix = 'res'
    headline = 'ciou'

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            **super().protocol(),
            'precision@t': 'IoU >= t',
            'skipped samples in ciou': 'their ground-truth areas join the unions where readable',
        }

    def scores(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute the scores, in percent."""
        values = {
            'ciou': F.ciou(table['intersection'], table['union']),
            'miou': F.miou(table['iou']),
        }
        for threshold in THRESHOLDS:
            values[f'precision@{threshold}'] = F.precision_at(table['iou'], threshold)
        return {key: 100 * value for key, value in values.items()}
