"""Further ways to write boxes into questions and answers, beside ``BoxCodec``'s dialects."""

from __future__ import annotations

import re

from .boxes import Box, clip_xyxy

_SQUARES = re.compile(r'\b([A-Z]) ?(\d{1,2})\b')


class CrayonBoxes:
    """Boxes as the text of a crayon prompt has them: ``[0.06, 0.09, 0.60, 0.46]`` (CoLLaVO)."""

    def box_text(self, box: Box, image_shape: tuple[int, int]) -> str:
        """Write a box.

        Args:
            box: ``(x0, y0, x1, y1)`` in pixels.
            image_shape: ``(H, W)`` of the image.
        """
        height, width = image_shape
        shares = [value / side for value, side in zip(box, (width, height) * 2, strict=True)]
        return '[' + ', '.join(f'{min(max(share, 0.0), 1.0):.2f}' for share in shares) + ']'


class BoardBoxes:
    """Boxes as two squares of a board: ``C 3 F 7``, upper left and lower right one.

    The toy world's coordinates: a model of a few hundred words knows squares, not decimals. The
    board lies over the picture padded to a square; an edge is rounded to the nearest line.

    Args:
        squares: Squares on a side.
    """

    def __init__(self, squares: int = 12) -> None:
        if not 1 <= squares <= 26:
            raise ValueError(f'A board has 1 to 26 squares on a side, got {squares}.')
        self.squares = squares

    def box_text(self, box: Box, image_shape: tuple[int, int]) -> str:
        """Write a box; see :meth:`CrayonBoxes.box_text`."""
        side, left, top = _frame(image_shape)
        step = side / self.squares
        ends = []
        for low, high, offset in ((box[0], box[2], left), (box[1], box[3], top)):
            first = min(max(round((low + offset) / step), 0), self.squares - 1)
            last = min(max(round((high + offset) / step) - 1, first), self.squares - 1)
            ends.append((first, last))
        (x0, x1), (y0, y1) = ends
        return f'{_square(x0, y0)} {_square(x1, y1)}'

    def read_boxes(self, text: str, image_shape: tuple[int, int]) -> list[Box]:
        """Read boxes: each two squares in a row are one; what is off the board is left out.

        Args:
            text: What a model wrote.
            image_shape: ``(H, W)`` of the image.

        Returns:
            Boxes in pixels of the image, corners in order; those outside it are left out.
        """
        side, left, top = _frame(image_shape)
        step = side / self.squares
        places = [
            (ord(letter) - ord('A'), int(number) - 1) for letter, number in _SQUARES.findall(text)
        ]
        places = [one for one in places if all(0 <= index < self.squares for index in one)]
        boxes = []
        for first, second in zip(places[::2], places[1::2], strict=False):
            xs, ys = (sorted(pair) for pair in zip(first, second, strict=True))
            edges = (xs[0], ys[0], xs[1] + 1, ys[1] + 1)
            moved = (
                edge * step - offset for edge, offset in zip(edges, (left, top) * 2, strict=True)
            )
            box = clip_xyxy(tuple(moved), *image_shape)
            if box[2] > box[0] and box[3] > box[1]:
                boxes.append(box)
        return boxes


def _frame(image_shape: tuple[int, int]) -> tuple[int, float, float]:
    """Side of the square around a picture, and what lies left of and above the picture."""
    height, width = image_shape
    side = max(height, width)
    return side, (side - width) / 2, (side - height) / 2


def _square(column: int, row: int) -> str:
    return f'{chr(ord("A") + column)} {row + 1}'
