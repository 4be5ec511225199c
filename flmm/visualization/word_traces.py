"""A caption that appears word by word, with its trace on the image: frames, strip, GIF, page."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from PIL import Image, ImageDraw

from flmm.visualization.panels import INK, Word, caption_strip, stack

_PAGE = Template(Path(__file__).with_name('word_traces.html').read_text(encoding='utf-8'))
#: Colours of the trace from its first word to its last.
_FIRST, _LAST = (25, 103, 210), (214, 39, 40)
#: Words that are still to come.
_PALE = (195, 200, 206)
#: A trail longer than this many words is faded out.
_TRAIL = 12


@dataclass(frozen=True)
class PlacedWord:
    """A word and where it points.

    Attributes:
        text: The word.
        point: ``(x, y)`` in pixels of the image; None for a word without a place.
    """

    text: str
    point: tuple[float, float] | None = None


def draw_frame(
    image: Image.Image, words: Sequence[PlacedWord], count: int, longer_side: int = 480
) -> Image.Image:
    """Draw the moment after some words.

    Args:
        image: RGB image.
        words: The whole caption.
        count: Words that have been said, at least 0; the last of them is stressed.
        longer_side: Of the picture of the image, in pixels.

    Returns:
        The image with the trail of the points so far, the words so far below it; all frames of
        one caption have one size.
    """
    scale = longer_side / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    canvas = image.convert('RGB').resize(size, Image.Resampling.BICUBIC)
    # Twice as large for smooth lines.
    layer = Image.new('RGBA', (2 * size[0], 2 * size[1]))
    draw = ImageDraw.Draw(layer)
    placed = [
        (index, (2 * word.point[0] * scale, 2 * word.point[1] * scale))
        for index, word in enumerate(words[:count])
        if word.point is not None and all(map(math.isfinite, word.point))
    ]
    width = max(longer_side // 60, 3)
    for (_, start), (index, end) in zip(placed, placed[1:], strict=False):
        fade = max(1 - (count - 1 - index) / _TRAIL, 0.25)
        draw.line([start, end], fill=(255, 255, 255, round(160 * fade)), width=width + 4)
        colour = word_colour(index, len(words))
        draw.line([start, end], fill=(*colour, round(255 * fade)), width=width)
    for index, (x, y) in placed:
        now = index == count - 1
        radius = width * (2.2 if now else 1.0)
        box = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse(box, fill=(*word_colour(index, len(words)), 255), outline='white', width=3)
    layer = layer.resize(size, Image.Resampling.LANCZOS)
    canvas.paste(layer, (0, 0), layer)
    return stack([canvas, _caption(words, count, size[0])])


def draw_frames(
    image: Image.Image, words: Sequence[PlacedWord], longer_side: int = 480
) -> list[Image.Image]:
    """One frame per word; :func:`draw_frame` says what is on it."""
    return [draw_frame(image, words, count + 1, longer_side) for count in range(len(words))]


def draw_strip(
    image: Image.Image,
    words: Sequence[PlacedWord],
    columns: int = 4,
    max_frames: int = 12,
    longer_side: int = 240,
) -> Image.Image:
    """Some moments of a caption side by side.

    Args:
        image: RGB image.
        words: The whole caption, at least one word.
        columns: Frames in a row.
        max_frames: Of more words, evenly spread ones and always the last are drawn.
        longer_side: Of each picture of the image, in pixels.

    Raises:
        ValueError: There is no word.
    """
    if not words:
        raise ValueError('a caption without words has no frames.')
    number = min(len(words), max_frames)
    counts = sorted({math.ceil((k + 1) * len(words) / number) for k in range(number)})
    frames = [draw_frame(image, words, count, longer_side) for count in counts]
    columns = min(columns, len(frames))
    width = max(frame.width for frame in frames) + 8
    height = max(frame.height for frame in frames) + 8
    rows = math.ceil(len(frames) / columns)
    sheet = Image.new('RGB', (columns * width, rows * height), 'white')
    for index, frame in enumerate(frames):
        place = (index % columns * width + 4, index // columns * height + 4)
        sheet.paste(frame, place)
    return sheet


def gif_bytes(frames: Sequence[Image.Image], seconds: float = 0.35) -> bytes:
    """An endless animation.

    Args:
        frames: Of one size, at least one.
        seconds: Of each; the last one stays four times as long.
    """
    buffer = io.BytesIO()
    times = [round(1000 * seconds)] * (len(frames) - 1) + [round(4000 * seconds)]
    frames[0].save(
        buffer, 'GIF', save_all=True, append_images=list(frames[1:]), duration=times, loop=0
    )
    return buffer.getvalue()


def trace_page(
    image: Image.Image, words: Sequence[PlacedWord], title: str, seconds: float = 0.35
) -> str:
    """One HTML file that plays the caption; it loads nothing from elsewhere.

    Args:
        image: RGB image.
        words: The whole caption.
        title: Of the page.
        seconds: Of each word.
    """
    buffer = io.BytesIO()
    image.convert('RGB').save(buffer, 'PNG')
    rows = [
        {
            'text': word.text,
            'point': None
            if word.point is None
            else [word.point[0] / image.width, word.point[1] / image.height],
            'colour': 'rgb({}, {}, {})'.format(*word_colour(index, len(words))),
        }
        for index, word in enumerate(words)
    ]
    # "<" would end the script; the escape is the same string to it.
    data = json.dumps(rows, allow_nan=False).replace('<', '\\u003c')
    return _PAGE.substitute(
        title=escape(title),
        image=base64.b64encode(buffer.getvalue()).decode(),
        width=image.width,
        height=image.height,
        words=data,
        milliseconds=round(1000 * seconds),
    )


def word_colour(index: int, count: int) -> tuple[int, int, int]:
    """RGB from blue for the first word to red for the last."""
    share = index / max(count - 1, 1)
    return tuple(round(a + share * (b - a)) for a, b in zip(_FIRST, _LAST, strict=True))


def _caption(words: Sequence[PlacedWord], count: int, width: int) -> Image.Image:
    """The words so far; those to come are pale, so that every frame has one size."""
    runs = []
    for index, word in enumerate(words):
        # Every word has a colour: words without one are set in another weight and width.
        colour = _PALE if index >= count else INK
        if index == count - 1:
            colour = word_colour(index, len(words))
        runs.append(Word(word.text, colour))
    return caption_strip(runs, width)
