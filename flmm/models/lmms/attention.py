"""Row capture: the attention of a few tokens, from an LMM that computes its own with SDPA.

Grounding needs, of every layer and head, the softmax rows of the phrase tokens over the image
tokens, and nothing else. ``output_attentions=True`` would force the eager implementation and
keep ``L * A * T * T`` numbers; this module keeps ``P * L * A * h * w``. An attention function
registered with transformers' attention interface computes the layer's output as ever and,
while a :class:`RowCapture` is active, also the rows that the capture asks for. No model is
patched, no layer's numerics change.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from flmm.utils.errors import FLMMError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Name under which the capturing attention is registered with transformers.
ROW_CAPTURE = 'flmm_row_capture'

_ACTIVE: ContextVar[RowCapture | None] = ContextVar('flmm_active_row_capture', default=None)


class RowCapture:
    """Collects merged attention rows during one forward of the LLM.

    Shapes: B samples, P phrases, Q tokens of all phrases of a sample (padded), N image cells of
    all grids of a sample (padded), A heads, T sequence length.

    Args:
        phrase_ids: ``(B, T)`` int64, phrase row of every token, -1 for none.
        columns: For each sample the sequence positions of its image cells, ``(N_b,)`` int64.
        merge: How the rows of a phrase's tokens become one, ``'mean'`` or ``'max'``.

    Raises:
        ValueError: ``merge`` is neither.
    """

    def __init__(self, phrase_ids: Tensor, columns: Sequence[Tensor], merge: str = 'mean') -> None:
        if merge not in ('mean', 'max'):
            raise ValueError(f"merge must be 'mean' or 'max', got {merge!r}.")
        self.merge = merge
        self.num_phrases = [int(ids.max()) + 1 for ids in phrase_ids]
        self.num_columns = [len(positions) for positions in columns]
        # The indices are prepared once on the CPU and moved once, not in every layer.
        rows = [torch.nonzero(ids >= 0).flatten() for ids in phrase_ids.cpu()]
        self.queries = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        self.columns = nn.utils.rnn.pad_sequence(
            [positions.flatten().cpu() for positions in columns], batch_first=True
        )
        self.membership = _membership(phrase_ids.cpu(), rows)
        self.layers: dict[int, Tensor] = {}
        self._move(phrase_ids.device)

    def _move(self, device: torch.device) -> None:
        self.queries, self.columns = self.queries.to(device), self.columns.to(device)
        self.membership = self.membership.to(device)

    @contextmanager
    def active(self) -> Iterator[RowCapture]:
        """Capture everything that runs inside the ``with`` block."""
        token = _ACTIVE.set(self)
        try:
            yield self
        finally:
            _ACTIVE.reset(token)

    def collect(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        scaling: float,
        causal: bool = True,
    ) -> None:
        """Compute and keep the merged rows of one layer.

        Args:
            layer: Index of the layer.
            query: ``(B, A, T, D)``.
            key: ``(B, A_kv, T, D)``; A is a multiple of A_kv (grouped-query attention).
            mask: ``(B or 1, 1, T, T)`` bool or additive, None where the layer needs none.
            scaling: Factor of the dot product.
            causal: Without a mask: whether tokens see only themselves and those before.
        """
        if self.queries.device != query.device:
            self._move(query.device)
        rows = self._softmax_rows(query, key, mask, scaling, causal)  # (B, A, Q, T)
        columns = self.columns[:, None, None, :].expand(-1, rows.shape[1], rows.shape[2], -1)
        cells = rows.gather(-1, columns)  # (B, A, Q, N)
        self.layers[layer] = self._merge(cells)

    def _softmax_rows(
        self, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, causal: bool
    ) -> Tensor:
        batch, heads, _, dim = query.shape
        kv_heads, length = key.shape[1], key.shape[2]
        count = self.queries.shape[1]
        index = self.queries[:, None, :, None].expand(-1, heads, -1, dim)
        picked = query.gather(2, index)
        grouped = picked.view(batch, kv_heads, heads // kv_heads * count, dim)
        scores = (grouped @ key.transpose(-1, -2)).view(batch, heads, count, length) * scaling
        # float32 as the eager implementations do: bf16 sums over thousands of keys lose digits.
        scores = scores.float()
        if mask is None and causal:
            keys = torch.arange(length, device=query.device)
            allowed = keys <= self.queries[:, :, None]
            scores = scores.masked_fill(~allowed[:, None], float('-inf'))
        elif mask is not None:
            row_mask = mask.expand(batch, -1, -1, -1).gather(
                2, self.queries[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[-1])
            )[..., :length]
            if row_mask.dtype == torch.bool:
                scores = scores.masked_fill(~row_mask, float('-inf'))
            else:
                scores = scores + row_mask.float()
        return scores.softmax(dim=-1)

    def _merge(self, cells: Tensor) -> Tensor:
        """Merge ``(B, A, Q, N)`` rows to ``(B, P, A, N)``."""
        if self.merge == 'mean':
            weights = self.membership / self.membership.sum(-1, keepdim=True).clamp(min=1)
            return torch.einsum('bpq,baqn->bpan', weights, cells)
        outside = ~self.membership.bool()[:, :, None, :, None]  # (B, P, 1, Q, 1)
        # Phrase by phrase: P copies of all rows at once would be gigabytes.
        merged = [cells.masked_fill(outside[:, p], 0).amax(dim=2) for p in range(outside.shape[1])]
        return torch.stack(merged, dim=1)

    def maps(self, sample: int) -> Tensor:
        """Return the maps of one sample.

        Args:
            sample: Index in the batch.

        Returns:
            ``(P, L, A, N)`` float32.

        Raises:
            RuntimeError: No layer ran through the capturing attention.
        """
        if not self.layers:
            raise RuntimeError(
                'No attention was captured: the language model does not use the attention '
                f"implementation '{ROW_CAPTURE}'. Was attn_implementation changed after loading?"
            )
        stacked = [
            self.layers[i][sample, : self.num_phrases[sample], :, : self.num_columns[sample]]
            for i in sorted(self.layers)
        ]
        return torch.stack(stacked, dim=1)


def _membership(phrase_ids: Tensor, rows: list[Tensor]) -> Tensor:
    """``(B, P, Q)`` float32, 1 where query q belongs to phrase p."""
    num_phrases = max(int(phrase_ids.max()) + 1, 0)
    longest = max(len(r) for r in rows)
    membership = torch.zeros(len(rows), num_phrases, longest)
    for b, picked in enumerate(rows):
        membership[b, phrase_ids[b, picked], torch.arange(len(picked))] = 1
    return membership


def row_capture_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """SDPA attention that also serves the active :class:`RowCapture`, if there is one.

    Arguments are those of transformers' attention interface.

    Raises:
        FLMMError: The layer does something to its scores that the capture would have
            to repeat and does not (soft caps, attention sinks, a position bias).
    """
    capture = _ACTIVE.get()
    if capture is not None:
        for name in ('softcap', 's_aux', 'position_bias'):
            if kwargs.get(name) is not None:
                raise FLMMError(
                    f'Layer {module.layer_idx} ({type(module).__name__}) uses {name!r}, which '
                    'row capture cannot reproduce.'
                )
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        causal = kwargs.get('is_causal')
        if causal is None:  # as transformers' SDPA decides it
            causal = getattr(module, 'is_causal', True)
        capture.collect(module.layer_idx, query, key, attention_mask, scale, causal)
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )


# A custom attention needs a mask function of the same name, or the causal mask is silently None.
AttentionInterface.register(ROW_CAPTURE, row_capture_attention)
AttentionMaskInterface.register(ROW_CAPTURE, sdpa_mask)
