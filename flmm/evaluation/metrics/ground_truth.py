"""Area of a phrase's ground truth when its sample could not be loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flmm.structures import CocoMask, PanopticMask, Phrase
from flmm.utils.errors import InputFileError
from flmm.utils.masks import decode_segmentation, panoptic_ids
from flmm.utils.safe_io import MAX_IMAGE_PIXELS, open_image


def ground_truth_area(phrase: Phrase) -> int:
    """Pixels of the phrase's mask, read from the annotation alone.

    A sample is mostly skipped because its image is unreadable; its annotation often still is
    readable, and then the missed area can count.

    Args:
        phrase: A phrase of a skipped sample.

    Returns:
        Pixels; 0 where the annotation cannot be read either.
    """
    try:
        if isinstance(phrase.mask, PanopticMask):
            ids = panoptic_ids(open_image(phrase.mask.path))
            return int(np.isin(ids, phrase.mask.segment_ids).sum())
        if isinstance(phrase.mask, CocoMask):
            return _coco_area(phrase.mask)
    except (InputFileError, ValueError, TypeError, KeyError, OverflowError):
        return 0
    return 0


def _coco_area(mask: CocoMask) -> int:
    """Area of the union; without the image, its shape is that of an RLE or of the outlines."""
    parts = mask.segmentations
    sizes = [tuple(part['size']) for part in parts if isinstance(part, dict)]
    shape = sizes[0] if sizes else _outline_shape(parts)
    if shape[0] * shape[1] > MAX_IMAGE_PIXELS:
        raise ValueError(f'a mask of {shape[0]}x{shape[1]} pixels')
    union = np.zeros(shape, dtype=bool)
    for part in parts:
        union |= decode_segmentation(part, shape)
    return int(union.sum())


def _outline_shape(parts: Sequence[list]) -> tuple[int, int]:
    polygons = [polygon for part in parts for polygon in part]
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return max(math.ceil(max(ys)), 1), max(math.ceil(max(xs)), 1)
