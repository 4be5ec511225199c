"""Ids that a text model wrote as text, with the token that speaks for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flmm.utils.errors import FLMMError
from flmm.utils.word_tokens import tokens_of_words, word_spans


class WordDecoder:
    """Make text of ids, and find its words' tokens.

    Args:
        tokenizer: See :func:`flmm.models.lmms.processor.build_tokenizer`; None if nothing is to
            be written.
        end_id: Id of a caption's last token.
    """

    def __init__(self, tokenizer: Any, end_id: int) -> None:
        self.tokenizer = None
        self.end_id = end_id
        if tokenizer is not None:
            # Takes seconds to import.
            from flmm.models.lmms.processor import build_tokenizer

            self.tokenizer = build_tokenizer(tokenizer)

    def __call__(self, ids: Sequence[int]) -> tuple[str, list[tuple[int, int, int]]]:
        """Decode one caption.

        Args:
            ids: From the first token, which is not read, to the end or the last one.

        Returns:
            The text, and for each word its characters and the index in ``ids`` of its last token:
            ``(start, end, index)``.

        Raises:
            FLMMError: There is no tokenizer.
        """
        if self.tokenizer is None:
            raise FLMMError(
                'The system wrote a caption but has no tokenizer: name it in the config '
                '(tokenizer=...).'
            )
        said = list(ids[1:])
        if self.end_id in said:
            said = said[: said.index(self.end_id)]
        # The text grows with every token; what a token adds is its own.
        lengths = [len(self._text(said[:count])) for count in range(len(said) + 1)]
        text = self._text(said)
        offsets = [(a, max(a, b)) for a, b in zip(lengths, lengths[1:], strict=False)]
        owners = tokens_of_words(offsets, word_spans(text), text)
        spans = zip(word_spans(text), owners, strict=True)
        return text, [(start, end, own[-1] + 1) for (start, end), own in spans if own]

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)
