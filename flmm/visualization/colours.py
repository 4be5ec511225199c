"""Colours that tell phrases apart, as masks on a photograph and as words on white."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]

# Dark enough to be read as text on white, saturated enough to be seen on a photograph;
# neighbours in the list differ most, because a text rarely has more than a handful of phrases.
_PALETTE: tuple[Colour, ...] = (
    (214, 39, 40),
    (25, 103, 210),
    (30, 132, 56),
    (147, 51, 234),
    (212, 99, 0),
    (8, 126, 139),
    (199, 21, 133),
    (122, 90, 20),
    (79, 70, 229),
    (85, 124, 15),
    (159, 18, 57),
    (51, 85, 107),
)
_GOLDEN_RATIO = 0.6180339887


def phrase_colour(index: int) -> Colour:
    """RGB colour of the phrase with this index; the same in every picture."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    # Steps of the golden ratio never repeat a hue and keep neighbours far apart.
    hue = (index * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.62)
    return round(255 * red), round(255 * green), round(255 * blue)


def phrase_colours(count: int) -> list[Colour]:
    """RGB colours of ``count`` phrases."""
    return [phrase_colour(index) for index in range(count)]
