"""Any image-text-to-text model of transformers as an LMM, without touching its code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText

from flmm.registry import MODELS
from flmm.structures import ImageGrid, LMMInputs, PhraseFeatures

from .attention import ROW_CAPTURE, RowCapture
from .base import BaseLMM

if TYPE_CHECKING:
    from collections.abc import Iterator

_DTYPES = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
    'auto': 'auto',
}


@MODELS.register_module()
class HFLMM(BaseLMM):
    """An image-text-to-text model of transformers behind the contract of an LMM.

    Args:
        pretrained: Hub id or folder of the model.
        dtype: ``'float32'``, ``'bfloat16'``, ``'float16'`` or ``'auto'`` (as it was saved).
        random_init: Build the architecture of ``pretrained`` with random weights of this seed
            instead of loading its own: the control of an experiment. None loads the weights.
        vision_attention: Attention implementation of the vision tower. ``'eager'`` is what the
            release of F-LMM was trained with; in bf16 SDPA differs from it.
        merge: How the attention rows of a phrase's tokens become one, ``'mean'`` or ``'max'``.
        channel_order: Order of the K maps of LMMs with several grids: ``'grid_major'`` (all maps
            of the first grid, then of the next) or ``'layer_major'`` (within a layer the heads of
            the first grid, then of the next).

    Raises:
        ValueError: ``dtype`` or ``channel_order`` is none of those named.
    """

    def __init__(
        self,
        pretrained: str,
        dtype: str = 'auto',
        random_init: int | None = None,
        vision_attention: str = 'sdpa',
        merge: str = 'mean',
        channel_order: str = 'grid_major',
    ) -> None:
        super().__init__()
        if dtype not in _DTYPES:
            raise ValueError(f'dtype must be one of {sorted(_DTYPES)}, got {dtype!r}.')
        if channel_order not in ('grid_major', 'layer_major'):
            raise ValueError(
                f"channel_order must be 'grid_major' or 'layer_major', got {channel_order!r}."
            )
        self.merge, self.channel_order = merge, channel_order
        self.model = _build(pretrained, _DTYPES[dtype], random_init)
        self.decoder = _Unowned(find_decoder(self.model))
        self._set_attention(vision_attention)
        text_config = self.model.config.get_text_config()
        self.num_layers = text_config.num_hidden_layers
        self.num_heads = text_config.num_attention_heads
        self.hidden_size = text_config.hidden_size

    def _set_attention(self, vision_attention: str) -> None:
        for module in self.model.modules():
            config = getattr(module, 'config', None)
            if config is not None and hasattr(config, '_attn_implementation'):
                config._attn_implementation = vision_attention
        for module in self.decoder().modules():
            config = getattr(module, 'config', None)
            if config is not None and hasattr(config, '_attn_implementation'):
                config._attn_implementation = ROW_CAPTURE

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def pad_token_id(self) -> int:
        """Id that fills the end of shorter sequences; 0 where the model names none."""
        pad = self.model.config.get_text_config().pad_token_id
        return 0 if pad is None or pad < 0 else pad

    def forward(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Language loss; see :meth:`BaseLMM.forward`."""
        for sample in inputs:
            if sample.labels is None:
                raise ValueError('Training the LMM needs LMMInputs with labels (with_labels=True).')
        batch = self._batch(inputs)
        labels = nn.utils.rnn.pad_sequence(
            [sample.labels for sample in inputs], batch_first=True, padding_value=-100
        ).to(self.device)
        logits = self.model(**batch, use_cache=False).logits
        # Shifted here rather than in the model, so that all families count tokens alike.
        targets = labels[:, 1:].flatten()
        total = F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), targets, ignore_index=-100, reduction='sum'
        )
        # A batch whose answers were all cut off has no target: zero, not 0 / 0.
        return {'loss_lm': total / (targets != -100).sum().clamp(min=1)}

    def phrase_features(self, inputs: Sequence[LMMInputs]) -> list[PhraseFeatures]:
        """Captured attention and hidden states; see :meth:`BaseLMM.phrase_features`."""
        kept = [sample.phrase_indices for sample in inputs]
        if not all(kept):
            raise ValueError('phrase_features needs at least one phrase token in every sample.')
        if not all(sample.grids for sample in inputs):
            raise ValueError('phrase_features needs an image in every sample.')
        rows = [
            _compact(sample.phrase_ids, indices)
            for sample, indices in zip(inputs, kept, strict=True)
        ]
        phrase_ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        columns = [torch.cat([g.positions.flatten() for g in s.grids]) for s in inputs]
        capture = RowCapture(phrase_ids.to(self.device), columns, self.merge)
        # The part below the language head: logits of a whole caption would only be thrown away.
        backbone = getattr(self.model, self.model.base_model_prefix)
        with capture.active(), self._hidden_rows(capture.queries) as hidden:
            backbone(**self._batch(inputs), use_cache=False)
        stacked = torch.stack(hidden, dim=2)  # (B, Q, L, C)
        features = []
        for i, sample in enumerate(inputs):
            tokens = rows[i][rows[i] >= 0].to(stacked.device)
            own = stacked[i, : len(tokens)]
            features.append(
                PhraseFeatures(
                    attention=self._attention_maps(capture.maps(i), sample.grids),
                    hidden=tuple(own[tokens == p] for p in range(len(kept[i]))),
                    grid=sample.grids[-1],
                    phrase_indices=kept[i],
                )
            )
        return features

    @torch.no_grad()
    def generate(self, inputs: Sequence[LMMInputs], max_new_tokens: int = 128) -> list[Tensor]:
        """Greedy continuation; see :meth:`BaseLMM.generate`."""
        written = []
        for sample in inputs:
            batch = self._batch([sample])
            length = batch['input_ids'].shape[1]
            output = self.model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
            new = output[0, length:]
            ends = self.model.generation_config.eos_token_id
            ends = ends if isinstance(ends, list) else [ends]
            stop = [i for i, token in enumerate(new.tolist()) if token in ends]
            written.append(new[: stop[0]] if stop else new)
        return written

    def _batch(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Pad at the right and concatenate: the keyword arguments of the model."""
        ids = [sample.input_ids for sample in inputs]
        batch = {
            'input_ids': nn.utils.rnn.pad_sequence(
                ids, batch_first=True, padding_value=self.pad_token_id
            ),
            'attention_mask': nn.utils.rnn.pad_sequence(
                [torch.ones_like(one) for one in ids], batch_first=True
            ),
        }
        for name in inputs[0].tensors:
            batch[name] = torch.cat([sample.tensors[name] for sample in inputs])
        moved = {name: tensor.to(self.device) for name, tensor in batch.items()}
        dtype = self.model.dtype
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in moved.items()}

    @contextmanager
    def _hidden_rows(self, queries: Tensor) -> Iterator[list[Tensor]]:
        """Keep the outputs of all decoder layers at the phrase tokens only, ``(B, Q, C)`` each."""
        decoder = self.decoder()
        rows: list[Tensor] = []

        def keep(_module: nn.Module, _args: tuple, output: Tensor | tuple) -> None:
            states = output[0] if isinstance(output, tuple) else output
            index = queries.to(states.device)[:, :, None].expand(-1, -1, states.shape[-1])
            rows.append(states.gather(1, index))

        # The last layer counts after the final norm, as in transformers' ``hidden_states``.
        watched = [*list(decoder.layers)[: self.num_layers - 1], decoder.norm]
        handles = [module.register_forward_hook(keep) for module in watched]
        try:
            yield rows
        finally:
            for handle in handles:
                handle.remove()

    def _attention_maps(self, maps: Tensor, grids: Sequence[ImageGrid]) -> Tensor:
        """Cut ``(P, L, A, N)`` into grids and resize all to the finest: ``(P, K, h, w)``."""
        finest = grids[-1].shape
        views = []
        for piece, grid in zip(
            maps.split([g.positions.numel() for g in grids], dim=-1), grids, strict=True
        ):
            view = piece.reshape(*piece.shape[:3], *grid.shape)
            if grid.shape != finest:
                flat = F.interpolate(view.flatten(0, 1), size=finest, mode='bilinear')
                view = flat.view(*piece.shape[:3], *finest)
            views.append(view)
        stacked = torch.stack(views, dim=1 if self.channel_order == 'grid_major' else 2)
        return stacked.flatten(1, 3)


class _Unowned:
    """Reference to a submodule that is already owned elsewhere, hidden from ``nn.Module``."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __call__(self) -> nn.Module:
        return self._module


def find_decoder(model: nn.Module) -> nn.Module:
    """Find the stack of decoder layers of an LMM.

    Args:
        model: A transformers model.

    Returns:
        The module that has ``layers`` (as many as the text config says) and ``norm``.

    Raises:
        ValueError: There is none, so hidden states and attention could not be captured.
    """
    count = model.config.get_text_config().num_hidden_layers
    start = model.get_decoder()
    for module in start.modules():
        layers = getattr(module, 'layers', None)
        if isinstance(layers, nn.ModuleList) and len(layers) == count and hasattr(module, 'norm'):
            return module
    raise ValueError(
        f'{type(model).__name__} has no stack of {count} decoder layers followed by a norm; '
        f'looked inside {type(start).__name__}.'
    )


def _build(pretrained: str, dtype: torch.dtype | str, random_init: int | None) -> nn.Module:
    if Path(pretrained).expanduser().exists():
        pretrained = str(Path(pretrained).expanduser())
    if random_init is None:
        return AutoModelForImageTextToText.from_pretrained(pretrained, dtype=dtype)
    config = AutoConfig.from_pretrained(pretrained)
    with torch.random.fork_rng():
        torch.manual_seed(random_init)
        model = AutoModelForImageTextToText.from_config(config)
    return model if dtype == 'auto' else model.to(dtype)


def _compact(phrase_ids: Tensor, kept: tuple[int, ...]) -> Tensor:
    """Renumber phrases 0..P-1 so that phrases without tokens leave no gap."""
    renumbered = torch.full_like(phrase_ids, -1)
    for row, phrase in enumerate(kept):
        renumbered[phrase_ids == phrase] = row
    return renumbered
