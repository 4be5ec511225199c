"""Partial LoRA: low-rank updates of a linear layer that act on image tokens alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ImageTokens:
    """Which tokens of a batch are image tokens, and the crayon prompt at them.

    Attributes:
        mask: ``(B, T)`` bool.
        crayon: ``(n, C)``, one row for each True in ``mask``, sample by sample; None without a
            crayon prompt.
    """

    mask: Tensor
    crayon: Tensor | None = None

    def __post_init__(self) -> None:
        """Check that there is a row for every image token."""
        count = int(self.mask.sum())
        if self.crayon is not None and len(self.crayon) != count:
            raise ValueError(
                f'The crayon prompt has {len(self.crayon)} rows for {count} image tokens. Do the '
                'grid of the crayon map and that of the LMM agree?'
            )


class ZeroLinear(nn.Linear):
    """The second matrix of a LoRA, without bias: zero before training."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        """Zero: the update starts as none."""
        nn.init.zeros_(self.weight)


class LowRank(nn.Module):
    """``alpha / rank * B(A(dropout(x)))``, zero before training.

    LoRA, arXiv 2106.09685.

    Args:
        in_features: Channels of the input.
        out_features: Channels of the output.
        rank: Channels between the two matrices.
        alpha: Strength; the update is scaled by ``alpha / rank``.
        dropout: Share of the input's channels dropped in training.
    """

    def __init__(
        self, in_features: int, out_features: int, rank: int, alpha: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f'The rank of a LoRA is at least 1, got {rank}.')
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = ZeroLinear(rank, out_features)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Update of ``(..., in_features)`` as ``(..., out_features)``."""
        return self.up(self.down(self.dropout(x))) * self.scale


class PLoRALinear(nn.Module):
    """A linear layer with one LoRA for image tokens and one for their crayon prompt.

    ``y = W x``; at image tokens ``+ s B A x + s B_seg A_seg c`` with the crayon embedding ``c``
    of that token. The names of the weights are those of the CoLLaVO release (``Plora_*``), which
    took the first LoRA from InternLM-XComposer2 (arXiv 2401.16420).

    Shapes: B samples, T tokens, n image tokens of the batch.

    Args:
        in_features: Channels of the input.
        out_features: Channels of the output.
        rank: Of both LoRAs.
        alpha: Of both LoRAs.
        dropout: Of both LoRAs, in training.
        crayon_features: Channels of the crayon prompt; by default ``in_features``. The release
            has weights for it in every layer, also where no prompt comes in.
        bias: Whether the base layer has one.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int = 256,
        alpha: float = 256,
        dropout: float = 0.05,
        crayon_features: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.Plora_main = nn.Linear(in_features, out_features, bias=bias)
        self.Plora_A = nn.Linear(in_features, rank, bias=False)
        self.Plora_B = ZeroLinear(rank, out_features)
        self.Plora_seg_A = nn.Linear(crayon_features or in_features, rank, bias=False)
        self.Plora_seg_B = ZeroLinear(rank, out_features)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, tokens: ImageTokens | None = None) -> Tensor:
        """Apply the layer.

        Args:
            x: ``(B, T, in_features)``.
            tokens: Where the image tokens are; None where there are none, as for the tokens that
                follow one by one when text is written.

        Returns:
            ``(B, T, out_features)``.
        """
        y = self.Plora_main(x)
        if tokens is None:
            return y
        low = self.Plora_A.weight.dtype  # float32 in training, whatever the base is
        seen = self.dropout(x[tokens.mask].to(low))
        update = self.Plora_B(self.Plora_A(seen)) * self.scale
        if tokens.crayon is not None:
            crayon = self.dropout(tokens.crayon.to(low))
            update = update + self.Plora_seg_B(self.Plora_seg_A(crayon)) * self.scale
        where = tokens.mask.nonzero(as_tuple=True)
        return y.index_put(where, update.to(y.dtype), accumulate=True)


def without_crayon(tokens: ImageTokens | None) -> ImageTokens | None:
    """The same image tokens for a layer that does not see the crayon prompt.

    Args:
        tokens: Image tokens, or None.
    """
    return None if tokens is None else ImageTokens(tokens.mask)


def lora_parameters(module: nn.Module) -> list[nn.Parameter]:
    """All LoRA weights of a model that is made of :class:`PLoRALinear`.

    Args:
        module: The model.
    """
    kinds = ('Plora_A', 'Plora_B', 'Plora_seg_A', 'Plora_seg_B')
    return [
        parameter
        for name, parameter in module.named_parameters()
        if any(f'.{kind}.' in f'.{name}' for kind in kinds)
    ]


def freeze_base(module: nn.Module) -> None:
    """Train the LoRAs of a model and nothing else in it.

    Args:
        module: A model that is made of :class:`PLoRALinear`.

    Raises:
        ValueError: It has no LoRA, so nothing would be trained.
    """
    loras = lora_parameters(module)
    if not loras:
        raise ValueError(f'{type(module).__name__} has no LoRA, so nothing of it would be trained.')
    module.requires_grad_(False)
    with torch.no_grad():
        for parameter in loras:
            parameter.requires_grad_(True)
