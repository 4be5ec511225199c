"""AI2D's diagrams with letters: "What is A in the diagram?" is asked of a picture that shows them.

The official archive holds the diagrams as they were, and in ``annotations`` which letter takes the
place of which label. Without the letters these questions, a good part of the test set, have no
answer.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json, to_rgb

#: Pixels of the smallest and the largest letter.
SMALLEST, LARGEST = 8, 100
#: Pixels from the corner beyond which no diagram has a label.
FURTHEST = 1_000_000
#: A letter, and the rectangle ``x0, y0, x1, y1`` that it covers.
Letter = list[Any]


def read_letters(path: str | Path) -> list[Letter]:
    """Read which letters take the place of a diagram's labels.

    Args:
        path: Its file in ``annotations``.

    Returns:
        ``[letter, x0, y0, x1, y1]`` of each label, in pixels.

    Raises:
        InputFileError: The file is missing or malformed.
    """
    content = load_json(path)
    try:
        letters = []
        for label in content['text'].values():
            (x0, y0), (x1, y1) = label['rectangle']
            # Whole numbers first: min() and max() may pass over nan.
            (x0, x1), (y0, y1) = sorted(map(int, (x0, x1))), sorted(map(int, (y0, y1)))
            letter, corners = str(label['replacementText']), [x0, y0, x1, y1]
            if max(map(abs, corners)) > FURTHEST or not letter.isprintable():
                raise ValueError(f'{letter!r:.40} at {corners!r:.80}')
            letters.append([letter, *corners])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise AnnotationError(
            path,
            f'tells no letters of a diagram: {type(error).__name__} {error}.',
            fix='It has "text": {name: {"rectangle": [[x, y], [x, y]], "replacementText": ...}}.',
        ) from error
    return letters


def draw_letters(image: Image.Image, letters: list[Letter]) -> Image.Image:
    """Cover each label with its letter, black on white.

    Args:
        image: The diagram; stays as it is.
        letters: From :func:`read_letters`.
    """
    shown = to_rgb(image).copy()
    draw = ImageDraw.Draw(shown)
    for letter, x0, y0, x1, y1 in letters:
        draw.rectangle((x0, y0, x1, y1), fill='white')
        size = _fitting_size(letter, x1 - x0, y1 - y0)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        draw.text(middle, letter, fill='black', font=_font(size), anchor='mm')
    return shown


def _fitting_size(letter: str, width: int, height: int) -> int:
    """Largest size at which a letter lies inside its rectangle; else one that can be read."""
    for size in range(LARGEST, SMALLEST, -1):
        left, top, right, bottom = _font(size).getbbox(letter)
        if right - left <= width and bottom - top <= height:
            return size
    return SMALLEST


@lru_cache(maxsize=LARGEST)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The one font that is there wherever this runs.
    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf'), size)
