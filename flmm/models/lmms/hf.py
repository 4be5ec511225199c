"""Any image-text-to-text model of transformers as an LMM, without touching its code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.structures import ImageGrid, LMMInputs, PhraseFeatures, WrittenText

from .attention import RowCapture
from .attention_kernels import capturing_implementation
from .base import BaseLMM
from .batching import concatenate_padded
from .generation import GenerationTrace, write_greedily
from .hidden_states import rows_at, watch_hidden_states
from .model_building import build_model
from .region_tokens import (
    GPT4ROI_LEVELS,
    RegionFeatures,
    VisionLevels,
    find_owner,
    find_vision_layers,
    place_region_tokens,
)
from .rope import rope_in_float32
from .streaming import stream_greedily
from .token_types import continue_token_types

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
        initialise: Changes the randomly built model in place, under the same seed, where its
            training did not start from transformers' own initialisation. Needs ``random_init``.
        vision_attention: Attention implementation of the vision tower. ``'eager'`` is what the
            release of F-LMM was trained with; in bf16 SDPA differs from it.
        attention: Kernel of the language model: ``'sdpa'``, ``'flash_attention_2'``,
            ``'flex_attention'`` or ``'eager'``; see
            :func:`flmm.models.lmms.attention_kernels.capturing_implementation`.
        merge: How the attention rows of a phrase's tokens become one, ``'mean'`` or ``'max'``.
        channel_order: Order of the K maps of LMMs with several grids: ``'grid_major'`` (all maps
            of the first grid, then of the next) or ``'layer_major'`` (within a layer the heads of
            the first grid, then of the next).
        model_options: Fields of the model's config to set when loading, such as MGM's
            ``mm_vision_tower`` or HPT's ``image_size``.

    Raises:
        ValueError: ``dtype`` or ``channel_order`` is none of those named.
    """

    def __init__(
        self,
        pretrained: str,
        dtype: str = 'auto',
        random_init: int | None = None,
        vision_attention: str = 'sdpa',
        attention: str = 'sdpa',
        merge: str = 'mean',
        channel_order: str = 'grid_major',
        model_options: dict[str, Any] | None = None,
        initialise: Callable[[nn.Module], None] | None = None,
    ) -> None:
        super().__init__()
        if dtype not in _DTYPES:
            raise ValueError(f'dtype must be one of {sorted(_DTYPES)}, got {dtype!r}.')
        if channel_order not in ('grid_major', 'layer_major'):
            raise ValueError(
                f"channel_order must be 'grid_major' or 'layer_major', got {channel_order!r}."
            )
        self.merge, self.channel_order = merge, channel_order
        self.model = build_model(
            pretrained, _DTYPES[dtype], random_init, model_options or {}, initialise
        )
        self.decoder = _Unowned(find_decoder(self.model))
        self._set_attention(vision_attention, attention)
        text_config = self.model.config.get_text_config()
        self.num_layers = text_config.num_hidden_layers
        self.num_heads = text_config.num_attention_heads
        self.hidden_size = text_config.hidden_size
        vision_config = getattr(self.model.config, 'vision_config', None)
        self.vision_channels = getattr(vision_config, 'hidden_size', 0)

    def _set_attention(self, vision_attention: str, attention: str) -> None:
        implementation = capturing_implementation(attention, self.decoder())
        for module in self.model.modules():
            config = getattr(module, 'config', None)
            if config is not None and hasattr(config, '_attn_implementation'):
                config._attn_implementation = vision_attention
        for module in self.decoder().modules():
            config = getattr(module, 'config', None)
            if config is not None and hasattr(config, '_attn_implementation'):
                config._attn_implementation = implementation

    def _apply(self, fn: Callable, recurse: bool = True) -> HFLMM:
        """Cast or move as ever, but keep the precision of RoPE's frequencies."""
        with rope_in_float32(self.model):
            return super()._apply(fn, recurse)

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
        if not all(sample.image_grids for sample in inputs):
            raise ValueError('phrase_features needs an image in every sample.')
        rows = [
            _compact(sample.phrase_ids, indices)
            for sample, indices in zip(inputs, kept, strict=True)
        ]
        phrase_ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        columns = [_cells(sample) for sample in inputs]
        capture = RowCapture(phrase_ids.to(self.device), columns, self.merge)
        hidden: dict[int, Tensor] = {}

        def keep(layer: int, states: Tensor) -> None:
            hidden[layer] = rows_at(states, capture.queries)

        # The part below the language head: logits of a whole caption would only be thrown away.
        backbone = getattr(self.model, self.model.base_model_prefix)
        with capture.active(), watch_hidden_states(self.decoder(), keep):
            backbone(**self._batch(inputs), use_cache=False)
        capture.check_complete(self.decoder().layers)
        # An LMM spread over several devices leaves its states on all of them.
        stacked = torch.stack(
            [hidden[layer].to(hidden[0].device) for layer in sorted(hidden)], dim=2
        )  # (B, Q, L, C)
        return [
            self._features(capture.maps(i), stacked[i, : int((row >= 0).sum())], row, sample)
            for i, (row, sample) in enumerate(zip(rows, inputs, strict=True))
        ]

    def _features(
        self, maps: Tensor, hidden: Tensor, rows: Tensor, sample: LMMInputs
    ) -> PhraseFeatures:
        """Features from maps ``(P, L, A, N)`` and the hidden states ``(Q, L, C)`` of tokens."""
        tokens = rows[rows >= 0].to(hidden.device)
        return PhraseFeatures(
            attention=self._attention_maps(maps, sample.image_grids),
            hidden=tuple(hidden[tokens == p] for p in range(len(maps))),
            grid=sample.image_grids[-1],
            phrase_indices=sample.phrase_indices,
        )

    @torch.no_grad()
    def generate(self, inputs: Sequence[LMMInputs], max_new_tokens: int = 128) -> list[Tensor]:
        """Greedy continuation; see :meth:`BaseLMM.generate`."""
        return [
            write_greedily(self.model, self._batch([sample]), max_new_tokens) for sample in inputs
        ]

    @torch.no_grad()
    def generate_with_features(
        self,
        inputs: Sequence[LMMInputs],
        find_phrases: Callable[[Tensor, Tensor], Tensor],
        max_new_tokens: int = 128,
    ) -> list[WrittenText]:
        """Greedy continuation that is grounded; see :meth:`BaseLMM.generate_with_features`."""
        if not all(sample.image_grids for sample in inputs):
            raise ValueError('generate_with_features needs an image in every sample.')
        return [self._write(sample, find_phrases, max_new_tokens) for sample in inputs]

    def _write(
        self,
        sample: LMMInputs,
        find_phrases: Callable[[Tensor, Tensor], Tensor],
        max_new_tokens: int,
    ) -> WrittenText:
        trace = GenerationTrace()
        with trace.active(), watch_hidden_states(self.decoder(), trace.keep_hidden):
            # One token more than asked for: only a token that is read again has a row.
            written = write_greedily(self.model, self._batch([sample]), max_new_tokens + 1)
        written = written[:max_new_tokens].to(sample.input_ids.device)
        hidden = trace.hidden(len(written))
        phrase_ids = find_phrases(written, hidden).to(written.device)
        is_image = torch.zeros_like(sample.input_ids, dtype=torch.bool)
        is_image[torch.cat([grid.positions.flatten() for grid in sample.grids])] = True
        input_ids = torch.cat([sample.input_ids, written])
        whole = replace(
            sample,
            input_ids=input_ids,
            phrase_ids=torch.cat([torch.full_like(sample.phrase_ids, -1), phrase_ids]),
            tensors=continue_token_types(sample.tensors, is_image, len(input_ids)),
            labels=None,
        )
        if not whole.phrase_indices:
            return WrittenText(written, whole, None)
        rows = _compact(phrase_ids, whole.phrase_indices)
        capture = RowCapture(rows[None].to(self.device), [_cells(sample)], self.merge)
        trace.collect_into(capture)
        capture.check_complete(self.decoder().layers)
        hidden = hidden[(rows >= 0).to(hidden.device)]
        return WrittenText(written, whole, self._features(capture.maps(0), hidden, rows, whole))

    def stream(self, sample: LMMInputs, max_new_tokens: int = 128) -> Iterator[int]:
        """Greedy continuation, token by token; see :meth:`BaseLMM.stream`."""
        return stream_greedily(self.model, self._batch([sample]), max_new_tokens)

    def region_tokens(
        self,
        inputs: Sequence[LMMInputs],
        features: RegionFeatures,
        levels: Sequence[int] = GPT4ROI_LEVELS,
        view: str = 'first',
        padding: str = 'right',
    ) -> AbstractContextManager[None]:
        """Regions in the place of tokens; see :meth:`BaseLMM.region_tokens`."""
        layers = self.vision_layers()
        patch_size = self.model.config.vision_config.patch_size
        seen = VisionLevels(layers, levels, inputs, _first(patch_size), view)
        return place_region_tokens(self.decoder(), seen, features, padding)

    def vision_layers(self) -> nn.ModuleList:
        """The layers of the vision tower."""
        return find_vision_layers(self.model, self.decoder())

    def set_trainable(self, parts: Iterable[str]) -> None:
        """Freeze all but some parts; see :meth:`BaseLMM.set_trainable`."""
        parts = set(parts)
        language = {id(p) for p in self.decoder().parameters()}
        for module in (self.model.get_input_embeddings(), self.model.get_output_embeddings()):
            language |= {id(p) for p in module.parameters()}
        tower = find_owner(self.model, self.vision_layers())
        vision = {id(p) for p in tower.parameters()}
        for parameter in self.model.parameters():
            part = 'language' if id(parameter) in language else 'projector'
            part = 'vision' if id(parameter) in vision else part
            parameter.requires_grad_(part in parts)

    def enable_gradient_checkpointing(self) -> None:
        """See :meth:`BaseLMM.enable_gradient_checkpointing`."""
        self.model.gradient_checkpointing_enable(dict(use_reentrant=False))

    def _batch(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Pad at the right and concatenate: the keyword arguments of the model."""
        ids = [sample.input_ids for sample in inputs]
        self._check_context(max(len(one) for one in ids))
        batch = {
            'input_ids': nn.utils.rnn.pad_sequence(
                ids, batch_first=True, padding_value=self.pad_token_id
            ),
            'attention_mask': nn.utils.rnn.pad_sequence(
                [torch.ones_like(one) for one in ids], batch_first=True
            ),
        }
        # A batch may hold samples without an image.
        for name in dict.fromkeys(name for sample in inputs for name in sample.tensors):
            own = [sample.tensors[name] for sample in inputs if name in sample.tensors]
            batch[name] = concatenate_padded(own)
        moved = {name: tensor.to(self.device) for name, tensor in batch.items()}
        dtype = self.model.dtype
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in moved.items()}

    def _check_context(self, length: int) -> None:
        context = getattr(self.model.config.get_text_config(), 'max_position_embeddings', None)
        if context is not None and length > context:
            raise ValueError(
                f'A sequence of {length} tokens exceeds the context of '
                f'{type(self.model).__name__}, {context}. Set max_length={context} in its '
                'processor, which then cuts the text and notes the phrases that it loses.'
            )

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


def _first(size: int | Sequence[int]) -> int:
    return size if isinstance(size, int) else size[0]


def _cells(sample: LMMInputs) -> Tensor:
    """Sequence positions of all image cells of a sample, ``(N,)``."""
    return torch.cat([grid.positions.flatten() for grid in sample.image_grids])


def _compact(phrase_ids: Tensor, kept: tuple[int, ...]) -> Tensor:
    """Renumber phrases 0..P-1 so that phrases without tokens leave no gap."""
    renumbered = torch.full_like(phrase_ids, -1)
    for row, phrase in enumerate(kept):
        renumbered[phrase_ids == phrase] = row
    return renumbered
