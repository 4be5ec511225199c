"""Which of the tokens that an LMM wrote belong to which phrase of its text."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flmm.utils.text import phrase_of_each_token, split_by_spans


@dataclass(frozen=True)
class TracedText:
    """A text that an LMM wrote, token by token, as it was while it wrote.

    Attributes:
        text: Without space around it.
        offsets: ``(start, end)`` of each token in characters of ``text``.
        hidden: ``(n, L, C)``, the states of the tokens.
    """

    text: str
    offsets: list[tuple[int, int]]
    hidden: Tensor


class PhraseFinder:
    """Decode what was written, choose phrases in it, and map them back to the tokens.

    For :meth:`BaseLMM.generate_with_features`; after the call it knows text and spans.

    Args:
        tokenizer: Decodes the ids; special tokens are left out.
        choose: Returns ``(start, end)`` in characters of each phrase of what was written, not
            overlapping.

    Attributes:
        text: What was written, without space around it.
        spans: The phrases of ``text``.
    """

    def __init__(
        self, tokenizer: Any, choose: Callable[[TracedText], Sequence[tuple[int, int]]]
    ) -> None:
        self.tokenizer, self.choose = tokenizer, choose
        self.text = ''
        self.spans: list[tuple[int, int]] = []

    def __call__(self, ids: Tensor, hidden: Tensor) -> Tensor:
        """Phrase of each token.

        Args:
            ids: ``(n,)`` int64.
            hidden: ``(n, L, C)``, their hidden states.

        Returns:
            ``(n,)`` int64, -1 for none.

        Raises:
            ValueError: Chosen spans overlap or lie outside the text.
        """
        whole, offsets = offsets_by_decoding(
            lambda some: self.tokenizer.decode(some, skip_special_tokens=True), ids.tolist()
        )
        self.text = whole.strip()
        space = whole[: len(whole) - len(whole.lstrip())]
        places = [[min(max(at - len(space), 0), len(self.text)) for at in pair] for pair in offsets]
        own = [(start, end) for start, end in places]
        self.spans = list(self.choose(TracedText(self.text, own, hidden)))
        pieces = [(space, -1), *split_by_spans(self.text, self.spans)]
        phrases = phrase_of_each_token(offsets, pieces)
        return torch.tensor(phrases, dtype=torch.int64, device=ids.device)


def offsets_by_decoding(
    decode: Callable[[list[int]], str], ids: list[int]
) -> tuple[str, list[tuple[int, int]]]:
    """Characters of each token of a text that exists as ids only.

    Tokenising the text again could cut it otherwise than the LMM wrote it. So ever longer
    beginnings are decoded, and what they share with the whole is theirs; the bytes of one
    character spread over several tokens go to the last of these.

    Args:
        decode: From ids to text.
        ids: The tokens.

    Returns:
        The text, and ``(start, end)`` of each token.
    """
    text = decode(ids)
    ends = [len(os.path.commonprefix([decode(ids[: i + 1]), text])) for i in range(len(ids))]
    for i in range(1, len(ends)):
        # A decoder that cleans up spaces may take back what it had written.
        ends[i] = max(ends[i], ends[i - 1])
    return text, list(zip([0, *ends], ends, strict=False))
