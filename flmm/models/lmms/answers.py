"""Prompts -> answers as texts, from any LMM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flmm.structures import LMMInputs

from .base import BaseLMM


def write_answers(
    lmm: BaseLMM,
    tokenizer: Any,
    inputs: Sequence[LMMInputs],
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> list[str]:
    """Let an LMM answer greedily.

    Args:
        lmm: The LMM.
        tokenizer: Its tokenizer.
        inputs: One prompt for each answer.
        max_new_tokens: Most tokens of an answer.
        stop: Marks before which an answer is cut, such as the start of a token that ends a turn
            in a vocabulary where it is no special token.

    Returns:
        The answers without special tokens and without spaces around them.
    """
    return [cut_answer(tokenizer, ids, stop) for ids in lmm.generate(inputs, max_new_tokens)]


def cut_answer(tokenizer: Any, ids: Tensor, stop: Sequence[str] = ()) -> str:
    """Text of an answer.

    Args:
        tokenizer: Of the LMM.
        ids: ``(n,)`` ids that it wrote.
        stop: See :func:`write_answers`.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True)
    for mark in stop:
        text = text.split(mark)[0]
    return text.strip()
