"""One image with captions of places, as a captioning system reads it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch

#: What is wanted of the captions in prediction, see :class:`CaptionInputs`.
CaptionTask = Literal['read', 'write', 'detect']


@dataclass(frozen=True)
class CaptionInputs:
    """An image on a square canvas, and what is said of its places.

    Shapes: S side of the canvas, N captions, T tokens, Q tokens of a context, P phrases of the
    sample.

    Attributes:
        pixels: ``(3, S, S)`` uint8; around the image 0.
        content_shape: ``(h, w)`` of the image on the canvas.
        scale: Canvas pixels per original pixel, ``(x, y)``.
        offset: What was cut off to the left and above, ``(x, y)`` in canvas pixels; negative
            where that much was padded.
        tokens: ``(N, T)`` int64 from begin to end, filled with ``pad_id``; without words where
            the caption is to be written.
        prompt_boxes: ``(N, 4)`` xyxy in canvas pixels, the places that are captioned.
        context: ``(N, Q)`` int64, what is said before each caption, filled with ``pad_id``; None
            for nothing.
        gt_points: ``(N, T, 2, 2)``: corners of the box of each token's trace in canvas pixels, 0
            where it has none; None without traces.
        gt_boxes: ``(N, 4)``: what each caption refers to, 0 for none; None if none does.
        gt_masks: ``(N, S, S)`` bool; None without.
        phrase_tokens: ``(P, 2)`` int64: caption and token that speak for each phrase; -1 where it
            was cut off.
        detect: Whether the places are all objects of the image, which a box head should find.
        task: In prediction, ``'read'`` the captions and locate their phrases, ``'write'``
            captions of the places, or ``'detect'`` places and caption them.
        pad_id: Fills tokens and context.
        origin: Where the image begins on the canvas, ``(x, y)``.
    """

    pixels: torch.Tensor
    content_shape: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    tokens: torch.Tensor
    prompt_boxes: torch.Tensor
    context: torch.Tensor | None = None
    gt_points: torch.Tensor | None = None
    gt_boxes: torch.Tensor | None = None
    gt_masks: torch.Tensor | None = None
    phrase_tokens: torch.Tensor | None = None
    detect: bool = False
    task: CaptionTask = 'read'
    pad_id: int = 0
    origin: tuple[int, int] = (0, 0)

    @property
    def input_ids(self) -> torch.Tensor:
        """All tokens in one row, for what counts them."""
        return self.tokens.flatten()

    def to(self, device: torch.device | str) -> CaptionInputs:
        """Return a copy on ``device``."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if isinstance(getattr(self, field.name), torch.Tensor)
        }
        return replace(self, **moved)

    def to_original(self, points: torch.Tensor) -> torch.Tensor:
        """Canvas pixels -> pixels of the original image.

        Args:
            points: ``(..., 2)``, or boxes ``(..., 4)``.
        """
        times = points.shape[-1] // 2
        offset, scale = points.new_tensor(self.offset), points.new_tensor(self.scale)
        return (points + offset.repeat(times)) / scale.repeat(times)
