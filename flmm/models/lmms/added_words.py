"""A tokenizer that takes some words for one token each instead of cutting them to pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .processor import build_tokenizer


def tokenizer_with_words(tokenizer: Any, words: Sequence[str]) -> Any:
    """Add words to a tokenizer that would spell them byte by byte.

    Unlike mark tokens they are plain text: they are recognised wherever they are written, and
    decoding gives them back. The model needs embeddings for them, see
    :class:`flmm.models.adapters.TokenRows`; their ids come before those of tokens added later.

    Args:
        tokenizer: See :func:`flmm.models.lmms.processor.build_tokenizer`.
        words: In the order of their ids; those that are tokens already are left alone.

    Returns:
        The tokenizer.
    """
    from transformers import AddedToken

    tokenizer = build_tokenizer(tokenizer)
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    return tokenizer
