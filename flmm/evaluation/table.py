"""Flat metrics as a table: a row per score, a column per kind of mask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

FINAL, ONLY = 'final masks', 'score'
_KINDS = ('coarse', 'control')


@dataclass(frozen=True)
class MetricsTable:
    """Scores by row and column.

    Attributes:
        columns: Kinds of masks: ``'final masks'`` for unprefixed keys, else the prefix
            (``'coarse'``, ``'control'``, ``'control/coarse'``). Where no key has one there is one
            column, ``'score'``: most scores are not of masks.
        rows: Name of the score (``'res/ciou'``) and one value per column, None where missing.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


def tabulate_metrics(metrics: Mapping[str, float]) -> MetricsTable:
    """Sort ``{'coarse/res/ciou': 62.0, 'res/ciou': 81.0}`` into one row with two columns.

    Args:
        metrics: Flat metrics; values that are no numbers are left out.
    """
    cells: dict[str, dict[str, float]] = {}
    columns: dict[str, None] = {}
    for key, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        parts = key.split('/')
        kinds = list(takewhile(_KINDS.__contains__, parts[:-2]))
        column = '/'.join(kinds) or FINAL
        columns[column] = None
        cells.setdefault('/'.join(parts[len(kinds) :]), {})[column] = value
    order = sorted(columns, key=lambda name: name != FINAL)
    rows = tuple((name, tuple(row.get(c) for c in order)) for name, row in cells.items())
    return MetricsTable((ONLY,) if order == [FINAL] else tuple(order), rows)


def format_score(value: float | None) -> str:
    """A score for people: two decimals, counts as whole numbers, a dash for none."""
    if value is None or math.isnan(value):
        return '–'
    return str(value) if isinstance(value, int) else f'{value:.2f}'
