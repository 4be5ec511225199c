"""A panoptic map drawn over its image, as a crayon prompt sees it."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
from PIL import Image

from flmm.structures import PanopticMap
from flmm.visualization.colours import phrase_colour
from flmm.visualization.overlays import overlay_masks


def draw_crayon(
    image: Image.Image, panoptic: PanopticMap, longer_side: int | None = None
) -> Image.Image:
    """Fill each segment in the colour of its class and write its number within the class on it.

    Args:
        image: RGB image.
        panoptic: Its map, at any size; segments without a cell are left out.
        longer_side: Size of the picture in pixels; None keeps the image's.

    Returns:
        A new RGB image.
    """
    ids = np.asarray(panoptic.ids).astype(np.int32)
    ids = cv2.resize(ids, image.size, interpolation=cv2.INTER_NEAREST)
    segments = [s for s in sorted(panoptic.segments, key=lambda s: s.id) if (ids == s.id).any()]
    masks = np.zeros((len(segments), image.height, image.width), bool)
    for mask, segment in zip(masks, segments, strict=True):
        mask[:] = ids == segment.id
    colours = [phrase_colour(segment.label) for segment in segments]
    canvas = np.array(overlay_masks(image, masks, colours, longer_side=longer_side))
    counts: Counter[int] = Counter()
    for mask, segment in zip(masks, segments, strict=True):
        counts[segment.label] += 1
        x, y = _middle(mask)
        place = round(x * canvas.shape[1] / image.width), round(y * canvas.shape[0] / image.height)
        scale = max(canvas.shape[:2]) / 700
        for colour, thickness in (((255, 255, 255), 4), ((0, 0, 0), 1)):
            text = str(counts[segment.label])
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(canvas, text, place, font, scale, colour, thickness, cv2.LINE_AA)
    return Image.fromarray(canvas)


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """The pixel of a mask that is farthest from its outline."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(x) - 1, int(y) - 1
