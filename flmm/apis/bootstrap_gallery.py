"""Pictures of what bootstrapping kept and what it rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import ImageDraw

from flmm.datasets.self_consistent import Record, SelfConsistencyFilter
from flmm.utils.errors import ImageError
from flmm.utils.safe_io import open_image, resolve_under_root
from flmm.visualization.gallery import GalleryItem, GalleryWriter
from flmm.visualization.overlays import resize_for_display
from flmm.visualization.panels import Word

_KEPT, _REJECTED = (40, 150, 70), (200, 50, 50)


class Examples:
    """The first kept and the first rejected captions; iterates over them.

    Args:
        keep: Judges them.
        most: Of each kind.
    """

    def __init__(self, keep: SelfConsistencyFilter, most: int) -> None:
        self.keep, self.most = keep, most
        self.found: dict[bool, list[tuple[Record, dict[str, Any]]]] = {True: [], False: []}

    def look_at(self, line: Record) -> None:
        """Take what is needed of an image's captions."""
        for caption in line['pred']:
            group = self.found[self.keep.is_consistent(caption, line)]
            if len(group) < self.most:
                group.append((line, caption))

    def __iter__(self) -> Iterator[tuple[bool, Record, dict[str, Any]]]:
        for kept, group in self.found.items():
            for line, caption in group:
                yield kept, line, caption


def draw_examples(
    folder: Path,
    image_root: str | Path,
    examples: Examples,
    statistics: dict[str, float],
    longer_side: int | None = 480,
) -> None:
    """Write a gallery of examples.

    Args:
        folder: Where to.
        image_root: Folder of the images.
        examples: What is drawn.
        statistics: Written beside them.
        longer_side: Of the pictures in pixels; None keeps the images'.
    """
    writer = GalleryWriter(folder, 'Captions of boxes, found again')
    for kept, line, caption in examples:
        writer.add(_card(kept, line, caption, image_root, longer_side))
    writer.close({f'bootstrap/{key}': value for key, value in statistics.items()})


def _card(
    kept: bool,
    line: Record,
    caption: dict[str, Any],
    image_root: str | Path,
    longer_side: int | None,
) -> GalleryItem:
    colour = _KEPT if kept else _REJECTED
    note = 'white: the object; coloured: where its caption led'
    if caption['format_error']:
        note = 'led to no box'
    try:
        image = open_image(resolve_under_root(image_root, line['image_id']))
    except ImageError as error:
        # It was there when it was captioned; the captions are worth more than its picture.
        image, note = None, f'{note}; {error}'
    else:
        before, image = image.width, resize_for_display(image, longer_side)
        scale, pen = image.width / before, ImageDraw.Draw(image)
        truth = line['anno'][caption['object_id']]['bbox']
        # Wider than the coloured one, which may lie on it.
        pen.rectangle(_corners(truth, scale), outline=(255, 255, 255), width=4)
        if not caption['format_error']:
            pen.rectangle(_corners(caption['bbox'], scale), outline=colour, width=2)
    return GalleryItem(
        f'{line["id"]} object {caption["object_id"]}',
        image,
        [Word(caption['caption'], colour)],
        note=note,
        group='kept' if kept else 'rejected',
    )


def _corners(box: Sequence[float], scale: float) -> list[int]:
    """Of whole pixels, the upper left one first, as PIL wants them."""
    x0, x1 = sorted(round(v * scale) for v in box[::2])
    y0, y1 = sorted(round(v * scale) for v in box[1::2])
    return [x0, y0, x1, y1]
