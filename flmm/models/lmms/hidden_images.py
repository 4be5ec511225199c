"""Visual tokens that the language model does not get to see in some samples of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from flmm.structures import LMMInputs


@contextmanager
def hidden_images(
    decoder: nn.Module, inputs: Sequence[LMMInputs], hide: Sequence[bool]
) -> Iterator[None]:
    """Let the language model read zeros in the place of some samples' visual tokens.

    The vision tower reads the images as ever: only their way into the language model is closed.
    Hooks that were registered before see the tokens.

    Args:
        decoder: The language model, called with ``inputs_embeds (B, T, C)``.
        inputs: The samples, padded at the right.
        hide: For each sample whether its image is hidden.
    """

    def change(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        embeds: Tensor = kwargs['inputs_embeds']
        shown = torch.ones(embeds.shape[:2], dtype=embeds.dtype, device=embeds.device)
        for row, (sample, hidden) in enumerate(zip(inputs, hide, strict=True)):
            for grid in sample.grids if hidden else ():
                shown[row, grid.positions.flatten().to(shown.device)] = 0
        return args, {**kwargs, 'inputs_embeds': embeds * shown[..., None]}

    handle = decoder.register_forward_pre_hook(change, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
