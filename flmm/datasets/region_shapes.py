"""Regions as people give them: a box, the object's mask, a few points in it, or a scribble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from flmm.structures import CocoMask, Region
from flmm.utils.boxes import Box
from flmm.utils.masks import decode_segmentation

from .instruction import Chooser

KINDS = ('box', 'mask', 'points', 'scribble')
#: People point at the inside: pixels as far from the edge as this share of the farthest.
_INSIDE = 0.3
_MOST_POINTS, _MOST_STROKES, _TRIES = 3, 6, 12

Drawn = tuple[dict[str, Any], Region]


@dataclass(frozen=True)
class RegionShapes:
    """How the regions of a data set are given, drawn anew for each.

    Attributes:
        shares: How often each of ``KINDS`` comes, relative to each other; empty for boxes only.
    """

    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            ValueError: Another kind, or shares that are negative or all zero.
        """
        unknown = set(self.shares) - set(KINDS)
        if unknown:
            raise ValueError(f'shapes must be some of {KINDS}, got {sorted(unknown)} as well.')
        if any(share < 0 for share in self.shares.values()) or (
            self.shares and not sum(self.shares.values())
        ):
            raise ValueError(f'shapes give shares of at least 0, got {dict(self.shares)}.')

    @property
    def keys(self) -> tuple[str, ...]:
        """What is needed of annotations, besides what makes a box."""
        return ('segmentation',) if self._drawn else ()

    @property
    def _drawn(self) -> bool:
        return any(share and kind != 'box' for kind, share in self.shares.items())

    def give(
        self,
        kept: Sequence[tuple[dict[str, Any], Box]],
        size: tuple[int | None, int | None],
        chooser: Chooser,
    ) -> tuple[list[Drawn], list[tuple[str, str]]]:
        """Make regions of annotations.

        Args:
            kept: Annotations with their boxes; with ``segmentation`` for all but boxes.
            size: Height and width of the image.
            chooser: Of the kind, and of where points lie.

        Returns:
            ``(annotation, region)`` of those that can be drawn, ``(which, why)`` of the others.

        Raises:
            ValueError: An outline is malformed.
        """
        drawn, dropped = [], []
        for annotation, box in kept:
            region = self._give_one(annotation, box, size, chooser)
            if region is None:
                dropped.append((f'annotation {annotation.get("id")}', 'no_outline'))
            else:
                drawn.append((annotation, region))
        return drawn, dropped

    def _give_one(
        self, annotation: dict[str, Any], box: Box, size: tuple, chooser: Chooser
    ) -> Region | None:
        kind = self._choose_kind(chooser)
        if kind == 'box':
            return Region(tuple(box))
        segmentation = annotation.get('segmentation')
        if not segmentation or None in size:
            return None
        mask = decode_segmentation(segmentation, size)
        if not mask.any():
            return None
        if kind == 'mask':
            return Region(mask=CocoMask((segmentation,)))
        if kind == 'points':
            return Region(points=draw_points(mask, chooser))
        return Region(points=draw_scribble(mask, chooser), joined=True)

    def _choose_kind(self, chooser: Chooser) -> str:
        # Without choice nothing is drawn, so that boxes alone are what they were before.
        kinds = [(kind, share) for kind, share in self.shares.items() if share] or [('box', 1.0)]
        left = sum(share for _, share in kinds)
        for kind, share in kinds[:-1]:
            if chooser.chance(share / left):
                return kind
            left -= share
        return kinds[-1][0]


def draw_points(mask: np.ndarray, chooser: Chooser) -> tuple[tuple[float, float], ...]:
    """One to three points well inside of a mask.

    Args:
        mask: ``(H, W)`` bool, not empty.
        chooser: Of how many and where.

    Returns:
        ``(x, y)`` in pixels.
    """
    inside = _inside(mask)
    count = 1 + chooser.choose(range(_MOST_POINTS))
    return tuple(_centre(chooser.choose(inside)) for _ in range(count))


def draw_scribble(mask: np.ndarray, chooser: Chooser) -> tuple[tuple[float, float], ...]:
    """A stroke with corners that stays inside of a mask.

    Args:
        mask: ``(H, W)`` bool, not empty.
        chooser: Of where it goes.

    Returns:
        Its corners ``(x, y)`` in pixels, in order; in a mask of a few pixels there may be one.
    """
    inside = _inside(mask)
    corners = [chooser.choose(inside)]
    for _ in range(2 + chooser.choose(range(_MOST_STROKES - 1))):
        for _ in range(_TRIES):
            corner = chooser.choose(inside)
            if tuple(corner) != tuple(corners[-1]) and _stays_inside(mask, corners[-1], corner):
                corners.append(corner)
                break
    return tuple(map(_centre, corners))


def _inside(mask: np.ndarray) -> np.ndarray:
    """``(N, 2)`` rows and columns of pixels that are not near the edge."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    cut = mask[top : rows.max() + 1, left : columns.max() + 1]
    # What lies beyond the image's border is outside as well.
    depth = cv2.distanceTransform(np.pad(cut, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.argwhere(depth >= _INSIDE * depth.max()) + (top, left)


def _stays_inside(mask: np.ndarray, start: np.ndarray, end: np.ndarray) -> bool:
    steps = int(np.abs(end - start).max()) + 1
    line = np.rint(np.linspace(start, end, steps + 1)).astype(int)
    return bool(mask[line[:, 0], line[:, 1]].all())


def _centre(place: np.ndarray) -> tuple[float, float]:
    row, column = map(float, place)
    return column + 0.5, row + 0.5
