"""What an LMM tells of the phrases it read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .image_grid import ImageGrid


@dataclass(frozen=True)
class PhraseFeatures:
    """Attention and hidden states of the phrases of one sample.

    Shapes: P phrases, T_p tokens of phrase p, K = grids * layers * heads, L layers, C channels.

    Attributes:
        attention: ``(P, K, h, w)`` float32, softmax attention of the phrase's tokens to the
            image, merged over the tokens, resized to the finest grid.
        hidden: P tensors ``(T_p, L, C)``, outputs of the L decoder layers (the last one after
            the final norm).
        grid: The finest grid, the one that ``attention`` lies on.
        phrase_indices: For each of the P rows the index into ``GroundingSample.phrases``; a
            phrase whose tokens were all cut off has no row.
    """

    attention: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    grid: ImageGrid
    phrase_indices: tuple[int, ...]
