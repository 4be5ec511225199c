"""What image encoders share: normalising padded images, putting grids of features together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def normalise_images(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    inside: Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Normalise images, keep padding at 0, shrink to an encoder's size.

    Args:
        images: ``(B, 3, H, W)``, 0..255.
        mean: Of each channel, on the same scale.
        std: Of each channel.
        inside: ``(B, H, W)``, 1 where there is image, 0 where padding; None: all image.
        size: ``(h, w)`` of the result, not larger than the images; None keeps their size.

    Returns:
        ``(B, 3, h, w)`` float32.

    Raises:
        ValueError: ``size`` is larger than the images: an encoder would see invented detail.
    """
    shape = (1, 3, 1, 1)
    pixels = (images.float() - images.new_tensor(mean, dtype=torch.float32).view(shape)) / (
        images.new_tensor(std, dtype=torch.float32).view(shape)
    )
    if inside is not None:
        pixels = pixels * inside[:, None].to(pixels)
    if size is None or tuple(size) == tuple(pixels.shape[-2:]):
        return pixels
    if size[0] > pixels.shape[-2] or size[1] > pixels.shape[-1]:
        raise ValueError(
            f'an encoder of {tuple(size)} pixels got images of {tuple(pixels.shape[-2:])}; '
            'resize them in the pipeline.'
        )
    return F.interpolate(pixels, size=tuple(size), mode='bilinear', antialias=True)


def content_shapes(inside: Tensor) -> Tensor:
    """Height and width of the image in each padded canvas.

    Args:
        inside: ``(B, H, W)``, 1 where there is image.

    Returns:
        ``(B, 2)`` float32.
    """
    inside = inside.float()
    return torch.stack([inside.amax(2).sum(1), inside.amax(1).sum(1)], dim=1)


def content_origins(inside: Tensor) -> Tensor:
    """Where the image begins on each padded canvas.

    Args:
        inside: ``(B, H, W)``, 1 where there is image.

    Returns:
        ``(B, 2)`` float32, ``(x, y)``: 0 unless it is padded to the left or above, too.
    """
    rows, columns = inside.float().amax(2), inside.float().amax(1)
    return torch.stack([columns.argmax(1), rows.argmax(1)], dim=1).float()


def fuse_features(features: Sequence[Tensor]) -> Tensor:
    """Put the features of several encoders together, channel by channel.

    Args:
        features: Each ``(B, h, w, C)`` of its own grid.

    Returns:
        ``(B, h, w, sum of C)`` on the largest grid; smaller ones are enlarged bicubically.
    """
    size = max(tuple(feature.shape[1:3]) for feature in features)
    parts = []
    for feature in features:
        if tuple(feature.shape[1:3]) != size:
            grid = feature.permute(0, 3, 1, 2)
            # With antialias torch takes Keys' cubic (a = -0.5), as JAX does; without, a = -0.75.
            # In float32: torch has no such filter in bfloat16 on CPUs.
            grid = F.interpolate(grid.float(), size=size, mode='bicubic', antialias=True)
            feature = grid.to(feature.dtype).permute(0, 2, 3, 1)
        parts.append(feature)
    return torch.cat(parts, dim=-1)
