"""Text under pictures, and pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from flmm.visualization.colours import Colour

INK: Colour = (55, 60, 67)
PAPER: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Word:
    """A run of text in one colour.

    Attributes:
        text: The characters; broken into lines at spaces.
        colour: RGB; None for ordinary ink.
    """

    text: str
    colour: Colour | None = None


@dataclass(frozen=True)
class Panel:
    """A picture of a sheet.

    Attributes:
        title: One line above it.
        image: RGB image.
    """

    title: str
    image: Image.Image


@lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib (so it is there on every machine)."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts/ttf', name), size)


def caption_strip(
    words: Sequence[Word], width: int, size: int = 15, tight: bool = False
) -> Image.Image:
    """Set words in lines of at most ``width`` pixels, coloured ones in bold.

    Args:
        words: The text; runs are separated by a space unless the next starts with punctuation.
        width: Width of the strip in pixels.
        size: Of the letters in pixels.
        tight: Little space above and below, as one line of many.

    Returns:
        RGB image of that width, as high as the text needs.
    """
    margin, line = round(size * 0.6), round(size * 1.5)
    above = round(size * 0.1) if tight else margin
    usable = max(width - 2 * margin, size)
    placed, x, y = [], 0.0, 0
    for run in words:
        face = font(size, run.colour is not None)
        for part in _parts(run.text, face, usable):
            glued = part[0] in '.,;:!?)' and bool(placed)
            gap = 0 if x == 0 or glued else face.getlength(' ')
            length = face.getlength(part)
            if x and x + gap + length > usable:
                x, y, gap = 0.0, y + line, 0
            placed.append((x + gap, y, part, run.colour or INK, face))
            x += gap + length
    strip = Image.new('RGB', (width, y + line + 2 * above), PAPER)
    draw = ImageDraw.Draw(strip)
    for left, top, part, colour, face in placed:
        draw.text((margin + left, above + top), part, fill=colour, font=face)
    return strip


def _parts(text: str, face: ImageFont.FreeTypeFont, usable: int) -> list[str]:
    """Words of a text; one that is wider than a line is cut."""
    parts = []
    for word in text.split():
        while face.getlength(word) > usable and len(word) > 1:
            # Letters differ in width: a share of the letters is but a first guess.
            cut = max(1, int(len(word) * usable / face.getlength(word)))
            while cut > 1 and face.getlength(word[:cut]) > usable:
                cut -= 1
            parts.append(word[:cut])
            word = word[cut:]
        parts.append(word)
    return parts


def make_sheet(
    panels: Sequence[Panel],
    captions: Sequence[Sequence[Word]] = (),
    *,
    columns: int | None = None,
    gap: int = 10,
) -> Image.Image:
    """Lay pictures out in a grid with titles, and captions below over the whole width.

    Args:
        panels: At least one; they may differ in size.
        captions: Texts, each in lines of its own.
        columns: Pictures per row; None puts all in one row.
        gap: Space around pictures in pixels.

    Returns:
        RGB image on white.
    """
    columns = columns or len(panels)
    cell_w = max(panel.image.width for panel in panels)
    cell_h = max(panel.image.height for panel in panels)
    title_h = 26
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    size = columns * (cell_w + gap) + gap, rows * (cell_h + title_h) + gap
    grid = Image.new('RGB', size, PAPER)
    draw = ImageDraw.Draw(grid)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left, top = gap + column * (cell_w + gap), row * (cell_h + title_h)
        title = _shorten(panel.title, cell_w)
        draw.text((left, top + 5), title, fill=INK, font=font(14, True))
        grid.paste(panel.image, (left, top + title_h))
    captions = [words for words in captions if words]
    # A conversation has many lines; a text and its scores are paragraphs.
    tight = len(captions) > 2
    return stack([grid, *(caption_strip(words, grid.width, tight=tight) for words in captions)])


def _shorten(title: str, width: int) -> str:
    face = font(14, True)
    if face.getlength(title) <= width:
        return title
    while title and face.getlength(f'{title}…') > width:
        title = title[:-1]
    return f'{title}…'


def stack(images: Sequence[Image.Image]) -> Image.Image:
    """Put images below one another, on white."""
    size = max(image.width for image in images), sum(image.height for image in images)
    out, top = Image.new('RGB', size, PAPER), 0
    for image in images:
        out.paste(image, (0, top))
        top += image.height
    return out
