"""Which places are captioned: those given, or what a box head finds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .dense_box_head import DenseBoxHead


@dataclass(frozen=True)
class CaptionedPlaces:
    """Places of a batch with the captions that they should get.

    Shapes: B images, N places.

    Attributes:
        boxes_xyxy: ``(B, N, 4)`` in canvas pixels.
        rows: ``(B, N)`` int64, the caption of each among those of its image.
        valid: ``(B, N)``, places that count.
    """

    boxes_xyxy: Tensor
    rows: Tensor
    valid: Tensor

    def captions(self, values: Tensor | None) -> Tensor | None:
        """Rows of ``(B, captions, ...)`` in the places' order, ``(B, N, ...)``."""
        if values is None:
            return None
        images = torch.arange(len(self.rows), device=self.rows.device)[:, None]
        return values[images, self.rows]


def propose_places(
    box_head: DenseBoxHead,
    features: Tensor,
    canvas: tuple[int, int],
    boxes_xyxy: Tensor,
    valid: Tensor,
    detect: Tensor,
    count: int,
) -> tuple[dict[str, Tensor], CaptionedPlaces]:
    """Losses of the box head, and what is captioned.

    Args:
        box_head: The box head.
        features: ``(B, h, w, D)``.
        canvas: ``(H, W)`` in pixels.
        boxes_xyxy: ``(B, captions, 4)``: all objects of the images that are for detection, the
            captioned places of the others.
        valid: ``(B, captions)``, captions that count.
        detect: ``(B,)`` bool, images that are for detection.
        count: Places per image; matching proposals first, the rest does not count. Without images
            for detection, no more than there are captions.
    """
    chosen = torch.nonzero(detect)[:, 0]
    if not len(chosen):
        count = min(count, boxes_xyxy.shape[1])
    losses: dict[str, Tensor] = {}
    proposals: dict[int, Tensor] = {}
    objects = {int(i): boxes_xyxy[i][valid[i] > 0] for i in chosen}
    if len(chosen):
        shapes = [tuple(canvas)] * len(chosen)
        losses, found = box_head.loss(features[chosen], shapes, list(objects.values()))
        proposals = dict(zip(objects, found, strict=True))
    places, rows, counts = [], [], []
    for index, given in enumerate(boxes_xyxy):
        if index in proposals:
            owner, match = box_head.match(proposals[index], objects[index])
            order = match.float().argsort(descending=True, stable=True)[:count]
            original = torch.nonzero(valid[index] > 0)[:, 0]
            row = original[owner[order]] if len(original) else torch.zeros_like(order)
            boxes, kept = proposals[index][order], match[order]
        else:
            boxes, kept = given[:count], valid[index][:count]
            row = torch.arange(len(boxes), device=boxes.device)
        fill = count - len(boxes)
        places.append(F.pad(boxes, (0, 0, 0, fill)))
        rows.append(F.pad(row, (0, fill)))
        counts.append(F.pad(kept.to(valid.dtype), (0, fill)))
    return losses, CaptionedPlaces(torch.stack(places), torch.stack(rows), torch.stack(counts))


def find_places(
    box_head: DenseBoxHead | None,
    features: Tensor,
    canvas: tuple[int, int],
    boxes_xyxy: Tensor | None,
) -> list[tuple[Tensor, Tensor]]:
    """Places to caption in testing, with their scores.

    Args:
        box_head: The box head; None if the places are given.
        features: ``(B, h, w, D)``.
        canvas: ``(H, W)`` in pixels.
        boxes_xyxy: ``(B, n, 4)``, the places given, which are certain; None: those that the box
            head finds.

    Returns:
        Per image ``(boxes_xyxy (n, 4), scores (n,))``.

    Raises:
        ValueError: Neither places nor a box head.
    """
    if boxes_xyxy is not None:
        return [(boxes, boxes.new_ones(len(boxes))) for boxes in boxes_xyxy]
    if box_head is None:
        raise ValueError('Without a box head the places to caption must be given: prompt_boxes.')
    return box_head.predict(features, [tuple(canvas)] * len(features))
