"""Where a run fails: scores of its phrases by mask size, length, category, position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flmm.evaluation import functional as F

Line = Mapping[str, Any]

# Upper bounds of groups and their names; None is the rest.
_SHARES = ((0.01, '< 1 %'), (0.05, '1–5 %'), (0.2, '5–20 %'), (0.5, '20–50 %'), (None, '≥ 50 %'))
_COCO = ((32**2, 'small'), (96**2, 'medium'), (None, 'large'))
_WORDS = ((2, '1'), (3, '2'), (4, '3'), (6, '4–5'), (9, '6–8'), (None, '≥ 9'))
_ROWS, _COLUMNS = ('top', 'middle', 'bottom'), ('left', 'centre', 'right')
UNKNOWN, OTHER, NO_TARGET = 'unknown', 'other', 'no target'


@dataclass(frozen=True)
class ScoredPhrase:
    """One phrase of a result file.

    Attributes:
        iou: Of its mask, 0..1.
        text: The words.
        area: Pixels of the true mask.
        pixels: Of the image; 0 where the sample was skipped.
        size: ``(H, W)`` of the image, None if unknown.
        box_xyxy: Of the true mask, None if unknown or empty.
        category: Of the object, '' if unknown.
    """

    iou: float
    text: str
    area: int
    pixels: int
    size: tuple[int, int] | None
    box_xyxy: tuple[float, ...] | None
    category: str


@dataclass(frozen=True)
class GroupScore:
    """Phrases of one group.

    Attributes:
        name: Of the group.
        count: Phrases in it.
        miou: Mean IoU in percent.
        precision: Share with IoU >= 0.5 in percent.
    """

    name: str
    count: int
    miou: float
    precision: float


def scored_phrases(
    lines: Sequence[Line], prefix: str, empty_iou: float = 0.0
) -> list[ScoredPhrase]:
    """Phrases of the lines of a mask metric.

    Args:
        lines: Of one task.
        prefix: Of the metric.
        empty_iou: What the metric counts where neither mask has a pixel: 1 with gRefCOCO, where
            a phrase may name nothing.

    Raises:
        ValueError: The lines hold no mask counts per phrase.
    """
    phrases = []
    for line in lines:
        entry, described = line['entries'][prefix], line.get('phrases') or []
        if not {'intersection', 'union', 'gt_area', 'pixels'} <= entry.keys():
            raise ValueError(f'{prefix} has no counts of masks')
        ious = F.iou(entry['intersection'], entry['union'])
        for index, iou in enumerate(ious.tolist()):
            # A skipped sample, which has no pixels, is never right about anything.
            if not entry['union'][index] and entry['pixels'][index]:
                iou = empty_iou
            about = described[index] if index < len(described) else {}
            size, box = line.get('size'), about.get('box_xyxy')
            phrases.append(
                ScoredPhrase(
                    iou,
                    str(about.get('text', '')),
                    entry['gt_area'][index],
                    entry['pixels'][index],
                    tuple(size) if size else None,
                    tuple(box) if box else None,
                    str(about.get('category', '')),
                )
            )
    return phrases


def group_phrases(
    phrases: Sequence[ScoredPhrase], num_categories: int = 15
) -> dict[str, list[GroupScore]]:
    """Scores by group.

    Args:
        phrases: Of one run.
        num_categories: The most frequent categories have groups of their own.

    Returns:
        By ``mask size (share of the image)``, ``mask size (COCO)``, ``words``, ``category`` and
        ``position`` the groups that have phrases, in their natural order (categories: the worst
        first).
    """
    frequent = Counter(phrase.category for phrase in phrases if phrase.category)
    names = [name for name, _ in frequent.most_common(num_categories)]
    places = [f'{row} {column}' for row in _ROWS for column in _COLUMNS]
    grouped = {
        'mask size (share of the image)': _scores(phrases, _share, [name for _, name in _SHARES]),
        'mask size (COCO)': _scores(phrases, _coco_size, [name for _, name in _COCO]),
        'words': _scores(phrases, _words, [name for _, name in _WORDS]),
        'position': _scores(phrases, _position, places),
    }
    if names:
        found = _scores(phrases, lambda p: _category(p, names), names)
        grouped['category'] = sorted(found, key=lambda g: (g.name in (OTHER, UNKNOWN), g.miou))
    return grouped


def _scores(
    phrases: Sequence[ScoredPhrase], key: Callable[[ScoredPhrase], str], order: Sequence[str]
) -> list[GroupScore]:
    members: dict[str, list[float]] = {}
    for phrase in phrases:
        members.setdefault(key(phrase), []).append(phrase.iou)
    scores = []
    for name in (*order, OTHER, NO_TARGET, UNKNOWN):
        if name in members:
            ious = np.array(members[name], dtype=np.float32)
            precision = 100 * F.precision_at(ious, 0.5)
            scores.append(GroupScore(name, len(ious), 100 * F.mean(ious), precision))
    return scores


def _below(value: float, bounds: Sequence[tuple[float | None, str]]) -> str:
    return next(name for bound, name in bounds if bound is None or value < bound)


def _share(phrase: ScoredPhrase) -> str:
    if not phrase.pixels:
        return UNKNOWN
    return _below(phrase.area / phrase.pixels, _SHARES) if phrase.area else NO_TARGET


def _coco_size(phrase: ScoredPhrase) -> str:
    if not phrase.area:
        return NO_TARGET if phrase.pixels else UNKNOWN
    return _below(phrase.area, _COCO)


def _words(phrase: ScoredPhrase) -> str:
    count = len(phrase.text.split())
    return _below(count, _WORDS) if count else UNKNOWN


def _category(phrase: ScoredPhrase, names: Sequence[str]) -> str:
    if not phrase.category:
        return UNKNOWN
    return phrase.category if phrase.category in names else OTHER


def _position(phrase: ScoredPhrase) -> str:
    if phrase.box_xyxy is None or phrase.size is None:
        return NO_TARGET if phrase.pixels and not phrase.area else UNKNOWN
    (height, width), (x0, y0, x1, y1) = phrase.size, phrase.box_xyxy
    row = min(max(int(3 * (y0 + y1) / 2 / height), 0), 2)
    column = min(max(int(3 * (x0 + x1) / 2 / width), 0), 2)
    return f'{_ROWS[row]} {_COLUMNS[column]}'
