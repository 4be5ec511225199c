"""Where attention maps look, in a few numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from flmm.structures import ImageGrid

#: Powers of a map whose centres are taken: the whole of what it looks at, and its peak.
POWERS = (1, 4)


def attention_places(
    attention: Tensor, grid: ImageGrid, image_shape: tuple[int, int], *, spread: bool = False
) -> Tensor:
    """Centres of attention maps, and how far they reach.

    Args:
        attention: ``(P, K, h, w)``, not negative.
        grid: The grid that the maps lie on.
        image_shape: ``(H, W)`` of the original image.
        spread: Also give the standard deviations around the centres: the extent of what is
            looked at, which a box needs.

    Returns:
        ``(P, K * 2 * len(POWERS))`` float32: for each power, ``(x, y)`` of every map's centre of
        mass in -1..1 of the image (beyond it in padding), 0 for a map that is 0 everywhere. With
        ``spread`` twice as many: behind the centres of each power their deviations.
    """
    height, width = attention.shape[-2:]
    x0, y0, x1, y1 = (float(side) for side in grid.box_xyxy)
    options = dict(device=attention.device, dtype=torch.float32)
    xs = x0 + (torch.arange(width, **options) + 0.5) * (x1 - x0) / width
    ys = y0 + (torch.arange(height, **options) + 0.5) * (y1 - y0) / height
    xs, ys = 2 * xs / image_shape[1] - 1, 2 * ys / image_shape[0] - 1
    peak = attention.float().flatten(2).amax(-1).clamp(min=1e-12)[..., None, None]
    parts = []
    for power in POWERS:
        # Scaled to the peak first: powers of small numbers vanish.
        weight = (attention.float() / peak) ** power
        total = weight.sum((-2, -1)).clamp(min=1e-12)
        x = (weight.sum(-2) * xs).sum(-1) / total
        y = (weight.sum(-1) * ys).sum(-1) / total
        parts.append(torch.stack([x, y], dim=-1).flatten(1))
        if spread:
            squares = [(weight.sum(-2) * xs**2).sum(-1), (weight.sum(-1) * ys**2).sum(-1)]
            variance = torch.stack(squares, dim=-1) / total[..., None]
            variance = variance - torch.stack([x, y], dim=-1) ** 2
            # The root has no slope at 0, where all of a map is one cell.
            parts.append(variance.clamp(min=1e-6).sqrt().flatten(1))
    return torch.cat(parts, dim=-1)
