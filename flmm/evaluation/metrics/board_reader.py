"""Boxes that a model wrote as squares of a board (the toy world's coordinates)."""

from __future__ import annotations

from flmm.registry import METRICS
from flmm.structures import GroundingPrediction
from flmm.utils.box_writers import BoardBoxes
from flmm.utils.boxes import Box


@METRICS.register_module()
class BoardBoxReader:
    """The first box in an answer that names squares, for ``RECMetric``.

    Args:
        squares: See :class:`BoardBoxes`.
    """

    def __init__(self, squares: int = 12) -> None:
        self.codec = BoardBoxes(squares)

    def describe(self) -> str:
        """For the protocol in result files."""
        return f'the first two of {self.codec.squares} x {self.codec.squares} squares'

    def __call__(self, prediction: GroundingPrediction) -> list[Box | None]:
        """One box, or None, for each phrase; all are read from one answer."""
        sample = prediction.sample
        boxes = self.codec.read_boxes(prediction.text, sample.ori_shape)
        return [boxes[0] if boxes else None] * len(sample.phrases)
