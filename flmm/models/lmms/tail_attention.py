"""Attention of the last tokens of every sequence, with gradients and behind a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import AttentionObserver, AttentionRule, attention_rows, layer_index


class TailAttention(AttentionObserver):
    """Keeps what the last tokens of a batch attend to among some of the first positions.

    Unlike ``RowCapture`` it follows a forward that continues a cache.

    Args:
        count: How many tokens at the end of each sequence.
        first: First position that is kept.
        last: One behind the last one.
    """

    def __init__(self, count: int, first: int, last: int) -> None:
        self.count, self.first, self.last = count, first, last
        self.layers: dict[int, Tensor] = {}

    def observe(self, module: nn.Module, query: Tensor, key: Tensor, rule: AttentionRule) -> None:
        """Keep the rows of one layer; see :meth:`AttentionObserver.observe`."""
        length = query.shape[2]
        queries = torch.arange(length - self.count, length, device=query.device)
        mask = rule.mask_of(queries.expand(len(query), -1), length, key.shape[2])
        rows = attention_rows(query[:, :, -self.count :], key, rule, mask)
        self.layers[layer_index(module)] = rows[..., self.first : self.last]

    def maps(self) -> Tensor:
        """All rows ``(B, count, L * A, last - first)``, the first layer's heads first."""
        return torch.cat([self.layers[index] for index in sorted(self.layers)], 1).transpose(1, 2)
