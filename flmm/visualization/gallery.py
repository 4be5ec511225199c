"""Folders of sheets with one page to look at them."""

from __future__ import annotations

import html
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from PIL import Image

from flmm.evaluation.table import format_score, tabulate_metrics
from flmm.visualization.panels import Word

_PAGE = Template(Path(__file__).with_name('gallery.html').read_text(encoding='utf-8'))
#: Least and most pixels that cards are wide at least: a text needs room, a sheet fits two a page.
_CARD = 300, 680


@dataclass
class GalleryItem:
    """One card of a gallery.

    Attributes:
        title: Such as the sample's id.
        image: The sheet; None for a sample that could not be drawn.
        words: The text, its phrases coloured.
        scores: Shown below the text; by the first one the cards can be sorted.
        note: A sentence in plain ink, for instance why a sample was skipped.
        group: Cards can be shown by group, for instance by task.
    """

    title: str
    image: Image.Image | None = None
    words: Sequence[Word] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ''
    group: str = ''


class GalleryWriter:
    """Write sheets one by one and the page at the end, so that no picture is kept in memory.

    Args:
        folder: Made if need be; sheets go to its ``sheets/``, the page is ``index.html``. A
            gallery that is there already is replaced.
        title: Headline of the page.
    """

    def __init__(self, folder: str | Path, title: str) -> None:
        self.folder, self.title = Path(folder), title
        self._cards: list[str] = []
        self._groups: dict[str, None] = {}
        self._widest = 0
        sheets = self.folder / 'sheets'
        sheets.mkdir(parents=True, exist_ok=True)
        for old in sheets.glob('[0-9][0-9][0-9][0-9]_*.png'):
            old.unlink()

    def __len__(self) -> int:
        """Number of cards so far."""
        return len(self._cards)

    def add(self, item: GalleryItem) -> None:
        """Write the item's sheet and keep its card."""
        name = ''
        if item.image is not None:
            name = f'sheets/{len(self) + 1:04d}_{_file_name(item.title)}.png'
            item.image.save(self.folder / name)
            self._widest = max(self._widest, item.image.width)
        self._groups[item.group] = None
        self._cards.append(_card(item, name, len(self)))

    def close(self, metrics: Mapping[str, float] | None = None, notes: Sequence[str] = ()) -> Path:
        """Write the page.

        Args:
            metrics: Flat metrics for the table on top.
            notes: Sentences below the table.

        Returns:
            Path of ``index.html``.
        """
        groups = [group for group in self._groups if group]
        page = _PAGE.substitute(
            title=html.escape(self.title),
            count=f'{len(self)} sample' + 's' * (len(self) != 1),
            table=_table(metrics or {}),
            notes=''.join(f'<p class="note">{html.escape(note)}</p>' for note in notes),
            groups=''.join(
                f'<button data-group="{html.escape(group)}">{html.escape(group)}</button>'
                for group in (groups if len(groups) > 1 else [])
            ),
            # Small pictures would be blown up by cards made for sheets.
            card=min(max(self._widest, _CARD[0]), _CARD[1]),
            cards='\n'.join(self._cards),
        )
        path = self.folder / 'index.html'
        handle, part = tempfile.mkstemp(dir=self.folder, suffix='.html.part')
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            file.write(page)
        os.chmod(part, 0o644)
        os.replace(part, path)
        return path


def write_gallery(
    folder: str | Path,
    items: Iterable[GalleryItem],
    *,
    title: str = 'flmm',
    metrics: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write sheets as PNG and a self-contained page that shows them.

    Args:
        folder: Where to.
        items: The cards; drawn one at a time if this is a generator.
        title: Headline of the page.
        metrics: Flat metrics for the table on top.
        notes: Sentences below the table.

    Returns:
        Path of ``index.html``.
    """
    writer = GalleryWriter(folder, title)
    for item in items:
        writer.add(item)
    return writer.close(metrics, notes)


def _card(item: GalleryItem, name: str, index: int) -> str:
    values = [float(value) for value in item.scores.values()]
    score = values[0] if values and math.isfinite(values[0]) else None
    title = html.escape(item.title)
    text = ' '.join(_span(word) for word in item.words)
    text = re.sub(r' (?=(?:<span>)?[.,;:!?])', '', text)
    chips = ''.join(
        f'<span class="chip"><b>{format_score(value)}</b> {html.escape(key)}</span>'
        for key, value in item.scores.items()
    )
    parts = [
        f'<a href="{name}"><img src="{name}" alt="{title}" loading="lazy" '
        f'width="{item.image.width}" height="{item.image.height}"></a>'
        if item.image is not None
        else '',
        f'<h2>{title}</h2>',
        f'<p class="words">{text}</p>' if text else '',
        f'<p class="chips">{chips}</p>' if chips else '',
        f'<p class="note">{html.escape(item.note)}</p>' if item.note else '',
    ]
    order = f'data-order="{index}" data-score="{json.dumps(score)}"'
    return f'<article {order} data-group="{html.escape(item.group)}">{"".join(parts)}</article>'


def _span(word: Word) -> str:
    text = html.escape(word.text.strip())
    if word.colour is None:
        return f'<span>{text}</span>'
    red, green, blue = word.colour
    return f'<b style="--c:rgb({red},{green},{blue})">{text}</b>'


def _table(metrics: Mapping[str, float]) -> str:
    table = tabulate_metrics(metrics)
    if not table.rows:
        return ''
    head = ''.join(f'<th>{html.escape(column)}</th>' for column in table.columns)
    rows = ''.join(
        f'<tr><th>{html.escape(name)}</th>'
        + ''.join(f'<td>{format_score(value)}</td>' for value in values)
        + '</tr>'
        for name, values in table.rows
    )
    return f'<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _file_name(title: str) -> str:
    """What is safe in a file name and a URL."""
    return re.sub(r'[^A-Za-z0-9_.-]+', '_', title).strip('._')[:60] or 'sample'
