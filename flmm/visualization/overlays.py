"""Masks and attention on an image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image

from flmm.visualization.colours import Colour, phrase_colour, phrase_colours
from flmm.visualization.panels import Word, caption_strip, stack

Masks = np.ndarray | torch.Tensor


def overlay_masks(
    image: Image.Image,
    masks: Masks,
    colours: Sequence[Colour] | None = None,
    *,
    opacity: float = 0.45,
    longer_side: int | None = None,
) -> Image.Image:
    """Fill and outline masks on an image.

    Large masks are drawn first, so that small ones on top of them stay visible.

    Args:
        image: RGB image.
        masks: ``(P, H, W)`` bool, of the image's size.
        colours: One RGB colour per mask; by default those of the phrases.
        opacity: Of the filling; the outline is opaque.
        longer_side: Size of the picture in pixels; None keeps the image's.

    Returns:
        A new RGB image.

    Raises:
        ValueError: The masks do not have the image's size.
    """
    masks = _masks_of(image, masks)
    colours = list(colours) if colours is not None else phrase_colours(len(masks))
    canvas = np.array(resize_for_display(image, longer_side))
    size = canvas.shape[1], canvas.shape[0]
    line = max(2, round(max(size) / 240))
    order = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
    scaled = {i: _resize_mask(masks[i], size) for i in order}
    for i in order:
        inside = scaled[i]
        blend = canvas[inside] * (1 - opacity) + np.array(colours[i]) * opacity
        canvas[inside] = blend.round().astype(np.uint8)
    for i in order:
        outlines, _ = cv2.findContours(
            scaled[i].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        # White under the colour: visible on a background of the same colour too.
        cv2.drawContours(canvas, outlines, -1, (255, 255, 255), line + 2, cv2.LINE_AA)
        cv2.drawContours(canvas, outlines, -1, colours[i], line, cv2.LINE_AA)
    return Image.fromarray(canvas)


def draw_masks(
    image: Image.Image,
    masks: Masks,
    labels: Sequence[str],
    *,
    words: Sequence[Word] | None = None,
    longer_side: int | None = None,
) -> Image.Image:
    """Draw masks and, below the image, the words they belong to in the same colours.

    Args:
        image: RGB image.
        masks: ``(P, H, W)`` bool.
        labels: One text per mask.
        words: The whole text, coloured where it has masks, instead of the list of labels.
        longer_side: Size of the picture of the image in pixels; None keeps the image's.

    Returns:
        A new RGB image, higher than the given one by the strip of words.

    Raises:
        ValueError: Not one label per mask, or masks of another size.
    """
    masks = _masks_of(image, masks)
    if len(labels) != len(masks):
        raise ValueError(f'{len(masks)} masks need as many labels, got {len(labels)}.')
    picture = overlay_masks(image, masks, longer_side=longer_side)
    words = words or label_words(labels)
    return stack([picture, caption_strip(words, picture.width)]) if words else picture


def label_words(labels: Sequence[str]) -> list[Word]:
    """The labels as coloured words with dots between them."""
    words = []
    for index, label in enumerate(labels):
        words += [Word('·')] if index else []
        words.append(Word(label, phrase_colour(index)))
    return words


def draw_attention(
    image: Image.Image,
    heat: Masks,
    box_xyxy: Sequence[float] | None = None,
    *,
    opacity: float = 0.6,
    longer_side: int | None = None,
) -> Image.Image:
    """Lay an attention map over an image, from its own minimum (dark) to its maximum (bright).

    Args:
        image: RGB image.
        heat: ``(h, w)`` float, one value per cell of the grid.
        box_xyxy: What the grid covers, in pixels of the image (``ImageGrid.box_xyxy``; it may
            reach outside); None for the image.
        opacity: Of the map.
        longer_side: Size of the picture in pixels; None keeps the image's.

    Returns:
        A new RGB image.
    """
    if isinstance(heat, torch.Tensor):
        heat = heat.detach().float().cpu().numpy()
    heat = np.asarray(heat, dtype=np.float32)
    if heat.ndim != 2:
        raise ValueError(f'An attention map is (rows, columns), got shape {heat.shape}.')
    photo = np.array(resize_for_display(image, longer_side))
    size = photo.shape[1], photo.shape[0]
    x0, y0, x1, y1 = box_xyxy or (0, 0, *image.size)
    scale_x, scale_y = size[0] / image.width, size[1] / image.height
    cell_w = (x1 - x0) * scale_x / heat.shape[1]
    cell_h = (y1 - y0) * scale_y / heat.shape[0]
    # Centre of pixel x -> position in the grid, where cell centres are whole numbers.
    to_grid = np.array(
        [
            [1 / cell_w, 0, (0.5 - x0 * scale_x) / cell_w - 0.5],
            [0, 1 / cell_h, (0.5 - y0 * scale_y) / cell_h - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(heat, to_grid, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    low, high = float(heat.min()), float(heat.max())
    levels = (255 * (warped - low) / max(high - low, 1e-12)).clip(0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    return Image.fromarray((photo * (1 - opacity) + colours * opacity).round().astype(np.uint8))


def resize_for_display(image: Image.Image, longer_side: int | None) -> Image.Image:
    """Resize to a longer side in pixels (None: as it is); small pictures keep visible pixels."""
    image = image.convert('RGB')
    if longer_side is None:
        return image
    scale = longer_side / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    tiny = max(image.size) <= 160 and scale >= 1
    return image.resize(size, Image.Resampling.NEAREST if tiny else Image.Resampling.LANCZOS)


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    scaled = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return scaled.astype(bool)


def _masks_of(image: Image.Image, masks: Masks) -> np.ndarray:
    if isinstance(masks, torch.Tensor):
        masks = masks.detach().cpu().numpy()
    masks = np.asarray(masks).astype(bool)
    if masks.ndim != 3 or masks.shape[1:] != (image.height, image.width):
        raise ValueError(
            f'Masks must be (phrases, {image.height}, {image.width}) like the image, got shape '
            f'{masks.shape}.'
        )
    return masks
