"""Where a system's boxes are: in its masks, in the text it writes, or in a box head's output."""

from __future__ import annotations

from typing import Literal

import torch

from flmm.registry import METRICS
from flmm.structures import GroundingPrediction, GroundingSample
from flmm.utils.box_codec import BoxCodec
from flmm.utils.boxes import Box
from flmm.utils.masks import mask_to_xyxy

Boxes = list[Box | None]


@METRICS.register_module()
class MaskBoxes:
    """The tightest box around each mask; none for an empty mask.

    Args:
        source: ``'pred_masks'`` or ``'coarse_masks'``.
    """

    def __init__(self, source: str = 'pred_masks') -> None:
        if source not in ('pred_masks', 'coarse_masks'):
            raise ValueError(f"source must be 'pred_masks' or 'coarse_masks', got {source!r}.")
        self.source = source

    def describe(self) -> str:
        """For the protocol in result files."""
        return f'the box around {self.source}'

    def __call__(self, prediction: GroundingPrediction) -> Boxes:
        """One box, or None, for each phrase."""
        masks = getattr(prediction, self.source)
        if masks is None:
            raise ValueError(
                f'MaskBoxes reads {self.source}, but the prediction of '
                f'{prediction.sample.sample_id} has none.'
            )
        return [mask_to_xyxy(torch.as_tensor(mask).cpu().numpy()) for mask in masks]


@METRICS.register_module()
class TextBoxes:
    """Boxes that the model wrote.

    The answers are ``prediction.meta['answers']`` (one text for each phrase) or, for a sample
    with one phrase, ``prediction.text``. Of several boxes in an answer the first counts.

    Args:
        dialect: How the model writes boxes, see :data:`flmm.utils.box_text.BOX_DIALECTS`.
        tolerant: Also read what only resembles the dialect, see
            :class:`flmm.utils.box_codec.BoxCodec`.
        frame: What pixels are counted in: the ``'original'`` image, or ``'resized'`` as the LMM
            saw it (Qwen2.5-VL).

    Raises:
        ValueError: There is no such frame, or shares are to be counted in one.
    """

    def __init__(
        self,
        dialect: str = 'auto',
        tolerant: bool = True,
        frame: Literal['original', 'resized'] = 'original',
    ) -> None:
        if frame not in ('original', 'resized'):
            raise ValueError(f"frame must be 'original' or 'resized', got {frame!r}.")
        if frame == 'resized' and dialect != 'pixels':
            raise ValueError(f"frame='resized' is for dialect='pixels', got {dialect!r}.")
        self.codec, self.frame = BoxCodec(dialect, tolerant), frame

    def describe(self) -> str:
        """For the protocol in result files."""
        kind = 'tolerant' if self.codec.tolerant else 'strict'
        where = ' of the resized image' if self.frame == 'resized' else ''
        return f'the first box in the answer, dialect {self.codec.dialect}{where}, {kind}'

    def __call__(self, prediction: GroundingPrediction) -> Boxes:
        """One box, or None, for each phrase."""
        sample = prediction.sample
        answers = prediction.meta.get('answers')
        if answers is None:
            if len(sample.phrases) > 1:
                raise ValueError(
                    f'Sample {sample.sample_id} has {len(sample.phrases)} phrases and one answer; '
                    'expected prediction.meta["answers"], a text for each.'
                )
            answers = [prediction.text] * len(sample.phrases)
        if sample.ori_shape is None:
            raise ValueError(f'Sample {sample.sample_id} has no ori_shape; is LoadImage missing?')
        return [self._read(answer, sample) for answer in answers]

    def _read(self, answer: str, sample: GroundingSample) -> Box | None:
        if self.frame == 'original':
            return next(iter(self.codec.read_boxes(answer, sample.ori_shape)), None)
        seen = None if sample.lmm_inputs is None else sample.lmm_inputs.resized_shape
        if seen is None:
            raise ValueError(
                f'Of sample {sample.sample_id} nobody knows to what size its image was resized; '
                "frame='resized' is for LMMs with image_grid_thw, such as Qwen2.5-VL."
            )
        down, across = (own / other for own, other in zip(sample.ori_shape, seen, strict=True))
        box = next(iter(self.codec.read_boxes(answer, seen)), None)
        return box and (box[0] * across, box[1] * down, box[2] * across, box[3] * down)


@METRICS.register_module()
class HeadBoxes:
    """Boxes of a box head: ``prediction.meta['boxes_xyxy']``, one (or None) for each phrase.

    Args:
        key: Where in ``prediction.meta`` they are.
    """

    def __init__(self, key: str = 'boxes_xyxy') -> None:
        self.key = key

    def describe(self) -> str:
        """For the protocol in result files."""
        return f'the box head ({self.key})'

    def __call__(self, prediction: GroundingPrediction) -> Boxes:
        """One box, or None, for each phrase.

        Raises:
            ValueError: The prediction has none.
        """
        boxes = prediction.meta.get(self.key)
        if boxes is None:
            raise ValueError(
                f'HeadBoxes reads prediction.meta[{self.key!r}], but the prediction of '
                f'{prediction.sample.sample_id} has none. Does the system have a box head?'
            )
        return [None if box is None else tuple(float(side) for side in box) for box in boxes]
