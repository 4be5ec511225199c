"""What the LMM itself sees inside of boxes: a target that needs no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from flmm.structures import LMMInputs


def box_means(embeds: Tensor, inputs: Sequence[LMMInputs]) -> list[Tensor]:
    """Mean of the visual tokens whose cells have their centre inside of each region's box.

    Of a box that lies between the centres it is the token of the nearest cell.

    Args:
        embeds: ``(B, L, C)``, what the language model reads, padded on the right.
        inputs: The samples; the first grid of each has to show the whole frame that its regions
            are told in.

    Returns:
        ``(R, C)`` for each sample.
    """
    found = []
    for row, sample in enumerate(inputs):
        if sample.regions is None or not len(sample.regions):
            found.append(embeds.new_zeros(0, embeds.shape[-1]))
            continue
        positions = sample.image_grids[0].positions.to(embeds.device)
        boxes = sample.regions.boxes.to(embeds.device)
        weights = cells_inside(boxes, *positions.shape).flatten(1).to(embeds)
        cells = embeds[row, positions.flatten()]
        found.append(weights @ cells / weights.sum(1, keepdim=True))
    return found


def cells_inside(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Cells of a grid over the unit square that boxes hold, at least one each.

    Args:
        boxes: ``(R, 4)`` ``xyxy`` in 0..1.
        rows: Of the grid.
        columns: Of the grid.

    Returns:
        ``(R, rows, columns)`` bool.
    """
    y = (torch.arange(rows, device=boxes.device) + 0.5) / rows
    x = (torch.arange(columns, device=boxes.device) + 0.5) / columns
    left, top, right, bottom = (side[:, None] for side in boxes.unbind(1))
    inside = ((y >= top) & (y <= bottom))[:, :, None] & ((x >= left) & (x <= right))[:, None]
    distance = (y - (top + bottom) / 2).abs()[:, :, None] + (x - (left + right) / 2).abs()[:, None]
    nearest = distance == distance.amin((1, 2), keepdim=True)
    return torch.where(inside.any(2).any(1)[:, None, None], inside, nearest)


@contextmanager
def watched_box_means(decoder: nn.Module, inputs: Sequence[LMMInputs]) -> Iterator[list[Tensor]]:
    """Collect :func:`box_means` while the ``with`` block runs the language model.

    Enter it before the block in which region tokens are placed.

    Args:
        decoder: The language model, called with ``inputs_embeds``.
        inputs: The samples of the batch.

    Yields:
        A list, empty until the language model has run; without gradients.
    """
    found: list[Tensor] = []

    def hook(_module: nn.Module, _args: tuple, kwargs: dict) -> None:
        if not found:
            found.extend(box_means(kwargs['inputs_embeds'].detach().float(), inputs))

    handle = decoder.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()
