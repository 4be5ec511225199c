"""Dual LoRA on any LMM by hooks: one update for image tokens, one for their crayon prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.utils.errors import FLMMError

from .base import Adapters, language_part
from .plora import ImageTokens, LowRank

#: Last names of the layers that read the hidden states, as transformers and InternLM2 call them.
CRAYON_TARGETS = (
    'q_proj',
    'k_proj',
    'v_proj',
    'qkv_proj',
    'wqkv',
    'o_proj',
    'out_proj',
    'wo',
    'gate_proj',
    'up_proj',
    'gate_up_proj',
    'w1',
    'w3',
)
#: These read something wider and get the image LoRA alone.
IMAGE_TARGETS = (*CRAYON_TARGETS, 'down_proj', 'w2')


@MODELS.register_module()
class DualLoRA(Adapters):
    """LoRAs that act on image tokens only, as CoLLaVO's, on a decoder that stays as it is.

    A layer gives ``W x``; its hook adds, at image tokens, ``s B A x`` and, where a crayon prompt
    ``c`` is given, ``s B_seg A_seg c``. The base is only called, never read or changed, so it may
    be quantised (4-bit layers of bitsandbytes) or of any dtype. CoLLaVO, arXiv 2402.11248.

    The model must run inside :meth:`active`; outside it computes as ever.

    Args:
        rank: Of all LoRAs (64 in the paper, 256 in the released code).
        alpha: Updates are scaled by ``alpha / rank``.
        dropout: In training.
        targets: Last names of layers with an image LoRA.
        crayon_targets: Last names of layers with a crayon LoRA too.
        crayon_features: Channels of the crayon prompt; None: those of the decoder.
    """

    def __init__(
        self,
        rank: int = 64,
        alpha: float = 64.0,
        dropout: float = 0.05,
        targets: Sequence[str] = IMAGE_TARGETS,
        crayon_targets: Sequence[str] = CRAYON_TARGETS,
        crayon_features: int | None = None,
    ) -> None:
        super().__init__()
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.targets, self.crayon_targets = tuple(targets), tuple(crayon_targets)
        self.crayon_features = crayon_features
        self.image, self.crayon = nn.ModuleDict(), nn.ModuleDict()
        self._tokens: ImageTokens | None = None
        self._handles: list[Any] = []
        self._enabled = True

    def attach(self, model: nn.Module) -> None:
        """Hook into the decoder's linear layers; see :meth:`Adapters.attach`.

        Args:
            model: A transformers model.

        Raises:
            FLMMError: It is attached already, or no layer has one of the names.
        """
        if self._handles:
            raise FLMMError('These adapters are attached already; one model takes one set.')
        width = self.crayon_features or model.config.get_text_config().hidden_size
        layers = language_part(model)
        for name, layer in layers.named_modules():
            last = name.rpartition('.')[2]
            if last not in self.targets or not hasattr(layer, 'in_features'):
                continue
            key = name.replace('.', '_')
            rows = layer.in_features, layer.out_features
            self.image[key] = LowRank(*rows, self.rank, self.alpha, self.dropout)
            if last in self.crayon_targets:
                self.crayon[key] = LowRank(width, rows[1], self.rank, self.alpha, self.dropout)
            self._handles.append(layer.register_forward_hook(self._hook(key)))
        if not self._handles:
            names = {n.rpartition('.')[2] for n, m in layers.named_modules() if _is_linear(m)}
            raise FLMMError(
                f'No linear layer of {type(model).__name__} is called one of '
                f'{", ".join(self.targets)}; it has {", ".join(sorted(names))}.'
            )

    @contextmanager
    def active(self, tokens: ImageTokens | None) -> Iterator[None]:
        """Run the model with these image tokens for as long as the context lasts.

        Args:
            tokens: ``mask (B, T)`` of the sequences that the model is going to read, and their
                crayon prompt. Tokens that follow one by one (generation) are no image tokens.
        """
        if not self._handles:
            raise FLMMError('DualLoRA acts on nothing yet: attach it to a model first.')
        before, self._tokens = self._tokens, tokens
        try:
            yield
        finally:
            self._tokens = before

    def while_recomputing(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """``context_fn`` of a gradient checkpoint: the backward runs layers after :meth:`active`.

        Returns:
            What surrounds the forward, and what surrounds the layers when they run again.
        """
        return nullcontext(), self.active(self._tokens)

    def _hook(self, key: str):
        def add(_layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            tokens, x = self._tokens, args[0]
            if tokens is None or not self._enabled:
                return output
            if x.shape[:2] != tokens.mask.shape:
                if x.shape[1] == 1:  # a written token; the image lies before it
                    return output
                raise FLMMError(
                    f'The image mask is for {tuple(tokens.mask.shape)} tokens, but the decoder '
                    f'reads {tuple(x.shape[:2])}.'
                )
            mask = tokens.mask.to(x.device)
            low = self.image[key].down.weight.dtype
            update = self.image[key](x[mask].to(low))
            if tokens.crayon is not None and key in self.crayon:
                update = update + self.crayon[key](tokens.crayon.to(x.device, low))
            where = mask.nonzero(as_tuple=True)
            return output.index_put(where, update.to(output.dtype), accumulate=True)

        return add

    @property
    def enabled(self) -> bool:
        """Whether the model computes with them."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        """Switch them on or off."""
        self._enabled = bool(value)

    def weights(self) -> dict[str, Tensor]:
        """All weights by name, to be saved alone."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    def merge(self) -> None:
        """Not possible; see :meth:`Adapters.merge`.

        Raises:
            FLMMError: Always: the update depends on the token, a matrix does not.
        """
        raise FLMMError(
            'A dual LoRA acts on image tokens only, so no matrix of the model computes the same. '
            'Save its weights beside the model.'
        )


def _is_linear(module: nn.Module) -> bool:
    return hasattr(module, 'in_features') and hasattr(module, 'out_features')
