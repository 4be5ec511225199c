"""Which words of a text to ground: a finder without dependencies, and marks by hand."""

from __future__ import annotations

import re

# Words that end a noun phrase: what stands between phrases in a description.
_BREAKS = frozenset(
    """
    about above across after against along amid among and are around as at be because been
    before behind being below beneath beside besides between beyond but by can carries carry
    contains covered covers doing down during each every for from had has have having he her here
    him his holding holds how i if in inside into is it its itself just lies like looking looks
    lying may me my near nearby next nor not of off on onto or our out outside over past playing
    riding running seen she showing shows sits sitting so standing stands than that their them
    then there these they this those through throughout to toward towards under underneath until
    up upon us very walking was we wearing wears were what when where which while who whose why
    will with within without you your
    """.split()
)
# Words that may begin a phrase but are none by themselves.
_OPENERS = frozenset('a an the some any all both one two three four five six several many'.split())
# Nouns about the picture itself or about a place in it: nothing that a mask could show.
_NOT_OBJECTS = frozenset(
    """
    image picture photo photograph scene view top bottom left right middle center centre side
    front back foreground background corner edge
    """.split()
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def find_noun_phrases(text: str) -> list[tuple[int, int]]:
    """Find the noun phrases of an English description by its function words.

    Runs of words between function words and punctuation count as phrases; a determiner or
    number begins a new one. Good enough for captions; texts that matter are better marked by
    hand (:func:`parse_marked_text`).

    Args:
        text: The text.

    Returns:
        ``(start, end)`` of each phrase in characters, in order, not overlapping.
    """
    spans: list[tuple[int, int]] = []
    run: list[re.Match] = []
    previous_end = 0
    for word in [*_WORD.finditer(text), None]:
        lower = '' if word is None else word.group().lower()
        broken = (
            word is None
            or lower in _BREAKS
            or lower in _OPENERS
            or bool(text[previous_end : word.start()].strip())
        )
        if broken:
            _close(run, spans)
            run = []
        if word is not None:
            previous_end = word.end()
            if lower not in _BREAKS:
                run.append(word)
    return spans


def _close(run: list[re.Match], spans: list[tuple[int, int]]) -> None:
    run = list(run)
    while run and run[-1].group().lower() in _NOT_OBJECTS:
        run.pop()
    words = [word.group().lower() for word in run]
    if any(word not in _OPENERS and not word.isdigit() for word in words):
        spans.append((run[0].start(), run[-1].end()))


def parse_marked_text(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Read a text whose phrases are marked by square brackets.

    Args:
        text: For example ``'[a red circle] left of [the square]'``.

    Returns:
        The text without brackets, and the ``(start, end)`` of each phrase in it. No phrase when
        there is no bracket.

    Raises:
        ValueError: Brackets are nested, empty, or do not match.
    """
    plain: list[str] = []
    spans: list[tuple[int, int]] = []
    length, start = 0, None
    for position, character in enumerate(text):
        if character == '[':
            if start is not None:
                raise ValueError(f'nested "[" at character {position} of {text!r}')
            start = length
        elif character == ']':
            if start is None or not ''.join(plain[start:]).strip():
                raise ValueError(f'"]" at character {position} of {text!r} closes no phrase')
            spans.append((start, length))
            start = None
        else:
            plain.append(character)
            length += 1
    if start is not None:
        raise ValueError(f'a "[" is never closed in {text!r}')
    return ''.join(plain), spans
