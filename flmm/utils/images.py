"""Sizes of resized images, as the models' own transforms compute them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


def longest_side_shape(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Shape of an image resized so that its longer side is ``longer_side``.

    The rule of segment_anything's ``ResizeLongestSide``: round half up.

    Args:
        height: Rows in pixels.
        width: Columns in pixels.
        longer_side: The wanted longer side in pixels.

    Returns:
        ``(height, width)``, at least 1 each.
    """
    scale = longer_side / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def fit_shape(height: int, width: int, size: int, *, ratio_first: bool = False) -> tuple[int, int]:
    """Shape of an image resized to fit a square, the shorter side rounded down.

    Args:
        height: Rows in pixels.
        width: Columns in pixels.
        size: Side of the square in pixels.
        ratio_first: Divide before multiplying (DeepSeek-VL); rounding may differ by one pixel.

    Returns:
        ``(height, width)``, at least 1 each.
    """
    longest = max(height, width)
    if ratio_first:
        fitted = int(height / longest * size), int(width / longest * size)
    else:
        fitted = int(height * size / longest), int(width * size / longest)
    return max(fitted[0], 1), max(fitted[1], 1)


def image_to_tensor(image: Image.Image) -> torch.Tensor:
    """Turn an RGB image into a tensor.

    Args:
        image: RGB image.

    Returns:
        ``(3, H, W)`` uint8.
    """
    # np.array copies: a tensor must not share memory that PIL marks read-only.
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def rescale_and_normalise(
    pixels: np.ndarray, rescale_factor: float, mean: tuple[float, ...], std: tuple[float, ...]
) -> np.ndarray:
    """Turn pixels into what a vision tower reads: ``(pixels * factor - mean) / std``.

    Rescaled in float64 and rounded to float32 before normalising, the order of transformers'
    slow image processors, so that the numbers agree to the last bit.

    Args:
        pixels: ``(..., H, W, 3)`` uint8.
        rescale_factor: Usually 1/255.
        mean: Per channel.
        std: Per channel.

    Returns:
        ``(..., H, W, 3)`` float32.
    """
    scaled = (pixels.astype(np.float64) * rescale_factor).astype(np.float32)
    return (scaled - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
