"""Turns of one sequence that do not see each other: an image is read once for many questions.

Each turn attends to what stands before the first one (the image) and to itself, at the positions
that it would have if it were the only one. The loss is that of as many conversations of one turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from flmm.structures import LMMInputs

from .processor import IGNORE_INDEX


def number_turns(sample: LMMInputs) -> Tensor:
    """Which turn each token is of; a turn ends with its answer.

    Args:
        sample: With labels.

    Returns:
        ``(T,)`` int64; 0 for what all turns share (up to the image's last token), then 1, 2, ...
    """
    is_answer = sample.labels != IGNORE_INDEX
    ends = is_answer[:-1] & ~is_answer[1:]
    turns = torch.ones_like(is_answer, dtype=torch.int64)
    turns[1:] += ends.cumsum(0)
    shared = max((int(grid.positions.max()) + 1 for grid in sample.grids), default=0)
    turns[:shared] = 0
    return turns


def mask_and_positions(turns: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What attention needs to keep turns apart.

    Padding at the right counts as one turn more, which nobody sees.

    Args:
        turns: Of each sample, from :func:`number_turns`.

    Returns:
        ``(B, 1, T, T)`` bool, true where a query (row) sees a key, and positions ``(B, T)``.
    """
    padded = nn.utils.rnn.pad_sequence(list(turns), batch_first=True, padding_value=-1)
    length = padded.shape[1]
    order = torch.arange(length, device=padded.device)
    same = padded[:, :, None] == padded[:, None, :]
    seen = (same | (padded == 0)[:, None, :]) & (order[:, None] >= order)
    # As many tokens as it sees before itself: the shared ones and those of its turn.
    return seen[:, None], seen.sum(dim=-1) - 1


@contextmanager
def turns_apart(model: nn.Module, inputs: Sequence[LMMInputs]) -> Iterator[None]:
    """Let a model that is called with these samples keep their turns apart.

    Args:
        model: A transformers model that takes masks of four dimensions; called with keyword
            arguments of the same samples, padded at the right.
        inputs: The samples, with labels.
    """
    mask, positions = mask_and_positions([number_turns(sample) for sample in inputs])

    def change(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        device = kwargs['input_ids'].device
        apart = dict(attention_mask=mask.to(device), position_ids=positions.to(device))
        return args, {**kwargs, **apart}

    hook = model.register_forward_pre_hook(change, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
