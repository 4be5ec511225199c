"""Boxes and points as text, both ways: one codec for every dialect in which LMMs write them."""

from __future__ import annotations

import math
import re

from .box_text import BOX_DIALECTS, parse_boxes
from .boxes import Box, box_area, clip_xyxy

Point = tuple[float, float]

# Bounded, so that no text can make the search slow.
_NUMBER = re.compile(r'[-+]?(?:[0-9]{1,12}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})')
_GROUP = re.compile(r'[\[({]([^\[\](){}]{1,120})[\])}]?')
_PAIR = re.compile(
    r'[\[(]\s{0,9}([-+]?[0-9]{0,12}\.?[0-9]{1,18})\s{0,9},\s{0,9}'
    r'([-+]?[0-9]{0,12}\.?[0-9]{1,18})\s{0,9}[\])]'
)
#: Shares a little above 1 are a careless box at the border; more are another unit.
_SHARE_LIMIT = 1.5
#: Steps in which a dialect counts one side; None: pixels.
_STEPS = {
    'normalised': 1000,
    'normalised_square': 1000,
    'thousand': 1000,
    '999': 999,
    'loc': 1024,
    'hundred': 100,
    'pixels': None,
}


class BoxCodec:
    """Writes boxes and points in one dialect, and reads them without trusting the text.

    Round trip: ``encode(decode(text)) == text`` for every text that :meth:`box_text` can write
    of a box inside the image; ``decode(encode(box))`` differs from the box by half a step of the
    dialect at most (0.0005 of the side for three decimals).

    Args:
        dialect: A name in :data:`flmm.utils.box_text.BOX_DIALECTS`. ``'normalised'`` is Pink's
            and Shikra's ``[0.123,0.456,0.789,0.900]``, ``'thousand'`` Qwen-VL's
            ``<box>(123,456),(789,900)</box>``, ``'loc'`` PaliGemma's
            ``<loc0456><loc0123><loc0900><loc0789>``.
        tolerant: Also read what only resembles the dialect: missing brackets, digits or zeros,
            other separators, whole numbers that are thousandths.

    Raises:
        ValueError: No such dialect.
    """

    def __init__(self, dialect: str = 'normalised', tolerant: bool = True) -> None:
        if dialect != 'auto' and dialect not in BOX_DIALECTS:
            raise ValueError(
                f"A box dialect is 'auto' or one of {sorted(BOX_DIALECTS)}, got {dialect!r}."
            )
        self.dialect, self.tolerant = dialect, tolerant

    def box_text(self, box: Box, image_shape: tuple[int, int]) -> str:
        """Write a box.

        Args:
            box: ``(x0, y0, x1, y1)`` in pixels. What reaches outside the image is written as it
                is, as the release does (``[1.000,0.056,1.250,0.194]``); clip before if unwanted.
            image_shape: ``(H, W)`` of the original image.

        Raises:
            ValueError: The codec has no dialect of its own (``'auto'``), or the box is not four
                finite numbers.
        """
        x0, y0, x1, y1 = self._shares(box, image_shape)
        if self.dialect == 'loc':
            return ''.join(f'<loc{self._step(value, 1023):04d}>' for value in (y0, x0, y1, x1))
        if self.dialect in ('normalised', 'normalised_square'):
            return f'[{",".join(map(_three_decimals, (x0, y0, x1, y1)))}]'
        a, b, c, d = (self._step(value) for value in (x0, y0, x1, y1))
        if self.dialect == 'thousand':
            return f'<box>({a},{b}),({c},{d})</box>'
        if self.dialect == 'hundred':
            return f'{{<{a}><{b}><{c}><{d}>}}'
        return f'[{a}, {b}, {c}, {d}]'

    def point_text(self, point: Point, image_shape: tuple[int, int]) -> str:
        """Write a point ``(x, y)`` in pixels; see :meth:`box_text`."""
        x, y = self._shares((*point, *point), image_shape)[:2]
        if self.dialect == 'loc':
            return ''.join(f'<loc{self._step(value, 1023):04d}>' for value in (y, x))
        if self.dialect in ('normalised', 'normalised_square'):
            return f'[{_three_decimals(x)},{_three_decimals(y)}]'
        return f'({self._step(x)},{self._step(y)})'

    def read_boxes(self, text: str, image_shape: tuple[int, int]) -> list[Box]:
        """Read all boxes; never raises on the text, never executes it.

        Args:
            text: What a model wrote.
            image_shape: ``(H, W)`` of the original image in pixels.

        Returns:
            Boxes with an area, inside the image, corners in order, in pixels; an empty list is
            the explicit "no box".
        """
        boxes = parse_boxes(text, image_shape, self.dialect)
        if not self.tolerant or self.dialect in ('loc', 'hundred'):
            return boxes
        if self.dialect.startswith('normalised'):
            boxes = self._in_own_units(text, image_shape)
        found = (_as_box(four, image_shape, self.dialect) for four in _loose_fours(text))
        return boxes or [box for box in found if box is not None]

    def read_points(self, text: str, image_shape: tuple[int, int]) -> list[Point]:
        """Read all points ``[x,y]``, in pixels inside the image; see :meth:`read_boxes`."""
        height, width = image_shape
        points = []
        for match in _PAIR.finditer(text):
            x, y = (float(value) for value in match.groups())
            step = _unit((x, y), self.dialect)
            if step is None:
                continue
            across, down = (1, 1) if step == 0 else (width / step, height / step)
            points.append(clip_xyxy((x * across, y * down, 0, 0), height, width)[:2])
        return points

    def _in_own_units(self, text: str, image_shape: tuple[int, int]) -> list[Box]:
        """Boxes that should be of shares, each read in the unit that its numbers are of."""
        boxes = []
        for match in BOX_DIALECTS[self.dialect].pattern.finditer(text):
            # "[0,0,300,400]" as shares would be cut to the whole image.
            box = _as_box(tuple(map(float, match.groups())), image_shape, self.dialect)
            boxes += [box] if box else parse_boxes(match[0], image_shape, self.dialect)
        return boxes

    def _shares(self, box: Box, image_shape: tuple[int, int]) -> list[float]:
        if self.dialect == 'auto':
            raise ValueError("A codec with dialect 'auto' reads only; name the dialect to write.")
        if len(box) != 4 or not all(math.isfinite(side) for side in box):
            raise ValueError(f'a box is four finite numbers, got {box!r:.80}')
        height, width = image_shape
        if self.dialect == 'pixels':
            return list(box)
        if self.dialect == 'normalised_square':
            side = max(height, width)
            left, above = (side - width) / 2, (side - height) / 2
            return [
                (value + (above if index % 2 else left)) / side for index, value in enumerate(box)
            ]
        return [value / (height if index % 2 else width) for index, value in enumerate(box)]

    def _step(self, share: float, largest: int | None = None) -> int:
        steps = _STEPS[self.dialect]
        value = round(share if steps is None else share * steps)
        # A location token has four digits and no sign, whatever the box.
        return value if largest is None else min(max(value, 0), largest)


def _three_decimals(value: float) -> str:
    return f'{round(value, 3) + 0.0:.3f}'  # + 0.0: no "-0.000"


def _loose_fours(text: str) -> list[tuple[float, ...]]:
    """Groups of four numbers: in brackets, in two brackets of two, or bare."""
    groups = [_numbers(match[1]) for match in _GROUP.finditer(text)]
    fours = [group for group in groups if len(group) == 4]
    pairs = [group for group in groups if len(group) == 2]
    if not fours and len(pairs) >= 2:
        fours = [first + second for first, second in zip(pairs[::2], pairs[1::2], strict=False)]
    if not fours and not any(groups):
        bare = _numbers(text)
        # "2 dogs, 3 cats, 1 man and 5 cars" is no box: bare numbers must be shares.
        shares = any(not n.is_integer() for n in bare) and max(bare) <= _SHARE_LIMIT
        if shares and len(bare) % 4 == 0:
            fours = [bare[i : i + 4] for i in range(0, len(bare), 4)]
    return fours


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(match) for match in _NUMBER.findall(text))


def _unit(values: tuple[float, ...], dialect: str) -> float | None:
    """What the numbers are divided by to give shares; 0 for pixels, None for nonsense."""
    largest = max(values)
    if dialect == 'pixels':
        return 0
    if dialect in ('thousand', '999'):
        return BOX_DIALECTS[dialect].scale
    if largest <= _SHARE_LIMIT:
        return 1
    whole = all(value.is_integer() for value in values)
    return 1000 if whole and largest <= 1000 else None


def _as_box(values: tuple[float, ...], image_shape: tuple[int, int], dialect: str) -> Box | None:
    """A box in pixels of four numbers, None where they are none."""
    step = _unit(values, dialect)
    if step is None:
        return None
    height, width = image_shape
    across, down = (1, 1) if step == 0 else (width / step, height / step)
    if dialect == 'normalised_square' and step == 1:
        side = max(height, width)
        left, above = (side - width) / 2, (side - height) / 2
        xs = sorted(value * side - left for value in values[::2])
        ys = sorted(value * side - above for value in values[1::2])
    else:
        xs = sorted(value * across for value in values[::2])
        ys = sorted(value * down for value in values[1::2])
    box = clip_xyxy((xs[0], ys[0], xs[1], ys[1]), height, width)
    return box if all(map(math.isfinite, box)) and box_area(box) > 0 else None
