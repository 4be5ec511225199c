"""Regions of a conversation on the image, and the turns that name them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from flmm.structures import REGION_PLACEHOLDER, GroundingSample, Region, Turn
from flmm.utils.boxes import Box
from flmm.visualization.colours import phrase_colour
from flmm.visualization.overlays import resize_for_display
from flmm.visualization.panels import Word


def draw_regions(
    image: Image.Image, regions: Sequence[Region], longer_side: int | None = None
) -> Image.Image:
    """Outline boxes, fill masks, mark points, each in the colour of its place in the text.

    Args:
        image: RGB image.
        regions: In pixels of the image; a region without a box, mask or points is left out.
        longer_side: Size of the picture in pixels; None keeps the image's.

    Returns:
        A new RGB image.
    """
    canvas = np.array(resize_for_display(image, longer_side))
    scale = np.array([canvas.shape[1] / image.width, canvas.shape[0] / image.height])
    line = max(2, round(max(canvas.shape[:2]) / 160))
    for index, region in enumerate(regions):
        colour = phrase_colour(index)
        if isinstance(region.mask, np.ndarray):
            mask = cv2.resize(
                region.mask.astype(np.uint8),
                (canvas.shape[1], canvas.shape[0]),
                interpolation=cv2.INTER_NEAREST,
            ).astype(bool)
            canvas[mask] = (canvas[mask] * 0.6 + np.array(colour) * 0.4).astype(np.uint8)
        points = np.rint(np.array(region.points).reshape(-1, 2) * scale).astype(int)
        if region.joined and len(points):
            cv2.polylines(canvas, [points], False, colour, line, cv2.LINE_AA)
        for x, y in points:
            cv2.circle(canvas, (int(x), int(y)), 2 * line, colour, -1, cv2.LINE_AA)
        if region.box_xyxy is not None:
            corners = np.array(region.box_xyxy).reshape(2, 2)
            if region.relative:
                corners = corners * [image.width, image.height]
            first, second = (tuple(int(v) for v in row) for row in np.rint(corners * scale))
            # White under the colour: visible on a background of the same colour too.
            cv2.rectangle(canvas, first, second, (255, 255, 255), line + 2)
            cv2.rectangle(canvas, first, second, colour, line)
    return Image.fromarray(canvas)


def draw_boxes(
    image: Image.Image, boxes: Sequence[Box | None], longer_side: int | None = None
) -> Image.Image:
    """Outline boxes, the k-th in the colour of phrase k; None has no outline.

    Args:
        image: RGB image.
        boxes: In pixels of the image.
        longer_side: Size of the picture in pixels; None keeps the image's.

    Returns:
        A new RGB image.
    """
    return draw_regions(image, [Region(box) for box in boxes], longer_side)


def turn_words(sample: GroundingSample) -> list[Word]:
    """The turns as people read them; ``<region>`` in the colour of what it stands for."""
    return [word for line in turn_lines(sample.turns) for word in line]


def turn_lines(turns: Sequence[Turn]) -> list[list[Word]]:
    """Of each turn a line for the user and one for the assistant.

    Args:
        turns: In order: the k-th ``<region>`` of all has the colour of region k.
    """
    lines, region = [], 0
    for turn in turns:
        for speaker, text in (('User: ', turn.request), ('Assistant: ', turn.answer or '...')):
            lines.append(region_words(speaker + text, region))
            region += text.count(REGION_PLACEHOLDER)
    return lines


def region_words(text: str, region: int = 0) -> list[Word]:
    """A text, each ``<region>`` in its colour.

    Args:
        text: What is said.
        region: Number of the first.
    """
    first, *rest = text.split(REGION_PLACEHOLDER)
    words = [Word(first)]
    for number, part in enumerate(rest, start=region):
        words.append(Word(REGION_PLACEHOLDER, phrase_colour(number)))
        if part.strip():
            words.append(Word(part))
    return words
