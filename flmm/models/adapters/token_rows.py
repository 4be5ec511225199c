"""Embeddings of some tokens beside frozen ones: only their rows train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flmm.registry import MODELS
from flmm.utils.errors import FLMMError


@MODELS.register_module()
class TokenRows(nn.Module):
    """Rows of the last tokens of a vocabulary, in the embedding and in the language head.

    The release makes both whole matrices trainable and writes the old rows back before every
    forward; here the new rows are parameters of their own and hooks put them in the place of
    the frozen ones, with the same values and gradients, without optimiser states of whole
    matrices, and saved alone.

    Shapes: N new tokens, M tokens of ``texts``, V tokens in all, C channels.

    Args:
        count: N; the last N rows of the (enlarged) matrices.
        vocab_size: V, to which the model's matrices are enlarged first; None: they are that
            large already; ``'append'``: as many as the model has, and N more.
        initialise: New rows start as the mean of all rows before them.
        texts: Tokens of these texts train as well, from the values they have: words that the
            language model has never read. They need the tokenizer in :meth:`attach`.
    """

    def __init__(
        self,
        count: int,
        vocab_size: int | Literal['append'] | None = None,
        initialise: bool = True,
        texts: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f'TokenRows needs at least one token, got count={count}.')
        self.count, self.vocab_size, self.initialise = count, vocab_size, initialise
        self.texts = tuple(texts)
        self.input, self.output = nn.Parameter(torch.empty(0)), nn.Parameter(torch.empty(0))
        # Not saved: it follows from the model and the tokenizer.
        self.register_buffer('ids', torch.empty(0, dtype=torch.int64), persistent=False)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._hosts: tuple[nn.Module, ...] = ()

    @torch.no_grad()
    def attach(self, model: nn.Module, tokenizer: Any = None) -> None:
        """Enlarge the matrices if need be and take over their last rows, and those of ``texts``.

        Args:
            model: With ``get_input_embeddings`` and ``get_output_embeddings``.
            tokenizer: The model's, where there are ``texts``.

        Raises:
            FLMMError: The matrices are larger than ``vocab_size``, there is no language head, or
                no tokenizer for ``texts``.
        """
        embed, head = model.get_input_embeddings(), model.get_output_embeddings()
        if head is None:
            raise FLMMError(f'{type(model).__name__} has no language head for new tokens.')
        had = embed.weight.shape[0]
        size = had + self.count if self.vocab_size == 'append' else self.vocab_size or had
        if had > size:
            raise FLMMError(
                f'The model has {had} tokens, more than vocab_size={size}. Does the tokenizer '
                'belong to it?'
            )
        tied = head.weight is embed.weight
        for matrix in (embed, head):
            _enlarge(matrix, size)
        if tied:
            head.weight = embed.weight
        model.config.get_text_config().vocab_size = size
        first = size - self.count
        known = self._known(tokenizer, first)
        self.ids = torch.tensor([*range(first, size), *known], device=embed.weight.device)
        for name, matrix in (('input', embed), ('output', head)):
            rows = matrix.weight[self.ids].float()
            if self.initialise:
                rows[: self.count] = matrix.weight[:first].mean(dim=0)
            setattr(self, name, nn.Parameter(rows))
        self._hooks = [
            embed.register_forward_hook(self._embed),
            head.register_forward_hook(self._predict),
        ]
        self._hosts = (embed, head)

    def _known(self, tokenizer: Any, first: int) -> list[int]:
        """Ids of the tokens of ``texts`` that are no new ones."""
        if not self.texts:
            return []
        if tokenizer is None:
            raise FLMMError('TokenRows(texts=...) needs the tokenizer: attach(model, tokenizer).')
        ids = tokenizer(list(self.texts), add_special_tokens=False)['input_ids']
        return sorted({token for one in ids for token in one if token < first})

    def _embed(self, _module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        same = args[0][..., None] == self.ids
        new = F.embedding(same.int().argmax(dim=-1), self.input)
        return torch.where(same.any(dim=-1)[..., None], new.to(output.dtype), output)

    def _predict(self, _module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        new = F.linear(args[0], self.output.to(args[0].dtype))
        return output.index_copy(-1, self.ids, new.to(output.dtype))

    @torch.no_grad()
    def merge(self) -> None:
        """Write the rows into the model's matrices and detach."""
        for matrix, rows in zip(self._hosts, (self.input, self.output), strict=True):
            matrix.weight[self.ids] = rows.to(matrix.weight.dtype)
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._hosts = [], ()


def _enlarge(matrix: nn.Module, size: int) -> None:
    """Append rows, the mean of the others."""
    weight = matrix.weight
    missing = size - weight.shape[0]
    if missing > 0:
        mean = weight.float().mean(dim=0, keepdim=True).to(weight.dtype)
        rows = torch.cat([weight, mean.expand(missing, -1)])
        matrix.weight = nn.Parameter(rows, requires_grad=weight.requires_grad)
    for name in ('num_embeddings', 'out_features'):
        if hasattr(matrix, name):
            setattr(matrix, name, size)
