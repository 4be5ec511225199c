"""Text spans: which token belongs to which phrase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def split_by_spans(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[str, int]]:
    """Cut a text at the borders of its phrases.

    Args:
        text: The text.
        spans: ``(start, end)`` of each phrase in characters, any order, not overlapping.

    Returns:
        ``(text, phrase)`` of each piece in order; phrase is the index into ``spans``, -1 for
        what lies between. The pieces joined are the text.

    Raises:
        ValueError: A span is empty, outside the text, or overlaps another.
    """
    pieces, position = [], 0
    for phrase, (start, end) in sorted(enumerate(spans), key=lambda item: item[1]):
        if not 0 <= start < end <= len(text):
            raise ValueError(f'span {(start, end)} is not inside the {len(text)} characters')
        if start < position:
            raise ValueError(f'span {(start, end)} overlaps the one before it')
        if start > position:
            pieces.append((text[position:start], -1))
        pieces.append((text[start:end], phrase))
        position = end
    if position < len(text):
        pieces.append((text[position:], -1))
    return pieces


def phrase_of_each_token(
    offsets: Sequence[tuple[int, int]], pieces: Sequence[tuple[str, int]]
) -> list[int]:
    """Map the tokens of a joined text to the phrases of its pieces.

    A token belongs to the phrase of whose characters it covers most, white space not counted,
    ties to the first; text that belongs to no phrase does not compete, so that a phrase of one
    character inside a longer token keeps it. A token of white space only belongs to the piece
    of that white space, and one without characters (a word-start mark of SentencePiece) goes
    with the character it stands before.

    Args:
        offsets: ``(start, end)`` of each token in characters of the joined text.
        pieces: ``(text, phrase)`` in order, phrase -1 for none.

    Returns:
        The phrase of each token, -1 for none.
    """
    text = ''.join(piece for piece, _ in pieces)
    phrase_at = [phrase for piece, phrase in pieces for _ in piece]
    return [_phrase_of_token(start, end, text, phrase_at) for start, end in offsets]


def _phrase_of_token(start: int, end: int, text: str, phrase_at: Sequence[int]) -> int:
    if start >= end:
        return phrase_at[start] if start < len(phrase_at) else -1
    covered: dict[int, int] = {}
    for position in range(start, min(end, len(text))):
        if phrase_at[position] >= 0 and not text[position].isspace():
            covered[phrase_at[position]] = covered.get(phrase_at[position], 0) + 1
    if covered:
        return max(covered, key=covered.get)  # dicts keep order: the first of equals
    return phrase_at[start] if text[start:end].isspace() else -1
