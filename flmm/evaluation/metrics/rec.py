"""Referring expression comprehension (REC): the right box, however a system says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flmm.evaluation import functional as F
from flmm.evaluation.metrics.box_readers import MaskBoxes
from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS
from flmm.structures import GroundingPrediction, GroundingSample, SkippedSample
from flmm.utils.boxes import Box, box_iou
from flmm.utils.masks import mask_to_xyxy

THRESHOLDS = (0.5, 0.7, 0.9)


@METRICS.register_module()
class RECMetric(EntryMetric):
    """Share of expressions whose box has an IoU of at least 0.5 with the annotated one.

    One metric, three readers: the box of the mask, boxes in the answer's text, a box head.

    Keys (percent): ``precision@0.5``, ``@0.7``, ``@0.9``, ``miou``, ``answered`` (share of
    expressions with any box at all; without one the IoU is 0), ``pointing`` (share whose box has
    its middle in the true box: the right place, whatever the size); besides ``num_phrases`` and
    ``num_skipped``.

    The true box is the annotation's own (``phrase.meta['box_xyxy']``), else the box of the
    true mask.

    Args:
        reader: Config of a reader, or one: :class:`MaskBoxes` (default), :class:`TextBoxes`,
            :class:`HeadBoxes`.
        strict: Count IoU > 0.5 (as MDETR and Shikra) instead of IoU >= 0.5.
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'rec'
    headline = 'precision@0.5'
    ground_truth_keys = ('truth',)
    unit = 'expression'

    def __init__(
        self,
        reader: dict | Any | None = None,
        strict: bool = False,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(prefix, collect_device)
        reader = reader or MaskBoxes()
        self.reader = METRICS.build(reader) if isinstance(reader, dict) else reader
        self.strict = strict

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'skipped samples': 'their expressions count as missed',
            'boxes from': self.reader.describe(),
            'precision@t': 'IoU > t' if self.strict else 'IoU >= t',
            'areas': 'right and bottom edges excluded',
        }

    def entry(self, prediction: GroundingPrediction) -> Entry:
        """Boxes and their IoUs, one per phrase."""
        sample = prediction.sample
        truth = [true_box(sample, index) for index in range(len(sample.phrases))]
        boxes = self.reader(prediction)
        if len(boxes) != len(truth):
            raise ValueError(
                f'Sample {sample.sample_id} has {len(truth)} expressions, the reader '
                f'{type(self.reader).__name__} gave {len(boxes)} boxes.'
            )
        ious = [
            0.0 if box is None else box_iou(box, gt) for box, gt in zip(boxes, truth, strict=True)
        ]
        return {
            'id': sample.sample_id,
            'skipped': '',
            'truth': [list(map(float, box)) for box in truth],
            'boxes': [None if box is None else list(map(float, box)) for box in boxes],
            'iou': ious,
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """Every expression of a skipped sample is missed."""
        count = len(sample.phrases)
        return {
            'id': sample.sample_id,
            'skipped': sample.reason,
            'truth': [None] * count,
            'boxes': [None] * count,
            'iou': [0.0] * count,
        }

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """The scores, in 0..1, with one term per entry."""
        ious = np.array([value for entry in entries for value in entry['iou']], dtype=np.float64)
        answered = np.array(
            [box is not None for entry in entries for box in entry['boxes']], dtype=bool
        )
        reached = np.greater if self.strict else np.greater_equal
        values = {f'precision@{t}': Ratio.mean(reached(ious, t)) for t in THRESHOLDS}
        pointing = np.array([hit for entry in entries for hit in _hits(entry)], dtype=bool)
        values |= {
            'miou': Ratio.mean(ious),
            'answered': Ratio.mean(answered),
            'pointing': Ratio.mean(pointing),
        }
        groups = np.repeat(np.arange(len(entries)), [len(entry['iou']) for entry in entries])
        groups = groups.astype(np.int64)
        return {key: ratio.group(groups, len(entries)) for key, ratio in values.items()}

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """Mean IoU of each sample's expressions, in percent; nan for a sample without any."""
        return [100 * F.mean(entry['iou']) for entry in entries]

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        return {
            **{key: 100 * ratio.value for key, ratio in self.ratios(results).items()},
            'num_phrases': sum(len(entry['iou']) for entry in results),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }


def _hits(entry: Entry) -> list[bool]:
    """Whether the middle of each box lies in the true one."""
    return [
        box is not None
        and truth[0] <= (box[0] + box[2]) / 2 <= truth[2]
        and truth[1] <= (box[1] + box[3]) / 2 <= truth[3]
        for box, truth in zip(entry['boxes'], entry['truth'], strict=True)
    ]


def true_box(sample: GroundingSample, index: int) -> Box:
    """Annotated box of a phrase, ``(x0, y0, x1, y1)`` in pixels.

    Raises:
        ValueError: The sample has neither box nor mask of it, or an empty mask.
    """
    box = sample.phrases[index].meta.get('box_xyxy')
    if box is None and sample.gt_masks is not None:
        box = mask_to_xyxy(np.asarray(sample.gt_masks[index]))
    if box is None:
        raise ValueError(
            f'Sample {sample.sample_id} has no true box of {sample.phrases[index].text!r}: '
            'expected phrase.meta["box_xyxy"] or a mask that is not empty.'
        )
    return tuple(box)
