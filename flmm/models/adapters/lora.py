"""LoRA through peft, with the interface of the other adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.utils.errors import FLMMError

from .base import Adapters, language_part, vision_part
from .bottleneck import READERS

_TARGETS = (*READERS['attention'], 'o_proj', 'out_proj', 'wo', *READERS['mlp'], 'down_proj', 'fc2')


@MODELS.register_module()
class LoRAAdapters(Adapters):
    """Low-rank changes of the linear layers of a decoder or vision tower (arXiv 2106.09685).

    peft puts them into the model, so their weights are the model's (``...lora_A...``); this
    object chooses the layers, switches, merges and names the weights.

    Args:
        part: ``'language'`` or ``'vision'``.
        rank: Of the change.
        alpha: The change is scaled by ``alpha / rank``.
        dropout: On the input of the change, in training.
        targets: Last names of the layers to change; None takes all that are called as linear
            layers of attention and MLPs usually are.
    """

    def __init__(
        self,
        part: Literal['language', 'vision'] = 'language',
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if part not in ('language', 'vision'):
            raise ValueError(f"part must be 'language' or 'vision', got {part!r}.")
        self.part, self.rank, self.alpha, self.dropout = part, rank, alpha, dropout
        self.targets = tuple(targets or _TARGETS)
        # In a list: as a submodule it would give the model's weights a second name.
        self._layers: list[nn.ModuleList] = []
        self._enabled = True

    def attach(self, model: nn.Module) -> None:
        """Let peft put its layers in; see :meth:`Adapters.attach`."""
        from peft import LoraConfig, inject_adapter_in_model  # seconds to import

        if self._layers:
            raise FLMMError('These adapters are attached already; one model takes one set.')
        layers = language_part(model) if self.part == 'language' else vision_part(model)
        names = {name.rpartition('.')[2] for name, m in layers.named_modules() if _linear(m)}
        targets = sorted(names & set(self.targets))
        if not targets:
            raise FLMMError(
                f'No linear layer of the {self.part} part is called one of '
                f'{", ".join(self.targets)}; it has {", ".join(sorted(names))}.'
            )
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets
        )
        grads = {name: p.requires_grad for name, p in layers.named_parameters()}
        inject_adapter_in_model(config, layers)
        for name, parameter in layers.named_parameters():
            original = name.replace('.base_layer.', '.')
            parameter.requires_grad_(grads.get(original, 'lora_' in name))
            if original not in grads:
                # peft takes the frozen weights' type; in half of it small updates round to none.
                parameter.data = parameter.data.float()
        self._layers = [layers]

    @property
    def enabled(self) -> bool:
        """Whether the model computes with them."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        """Switch them on or off."""
        self._enabled = bool(value)
        for _, module in self._changed():
            module.enable_adapters(self._enabled)

    def train(self, mode: bool = True) -> LoRAAdapters:
        """Switch the dropout, also where the model around it stays in eval mode."""
        super().train(mode)
        for _, module in self._changed():
            module.lora_dropout.train(mode)
        return self

    def _changed(self) -> list[tuple[str, nn.Module]]:
        from peft.tuners.lora import LoraLayer

        found = []
        for layers in self._layers:
            found += [(n, m) for n, m in layers.named_modules() if isinstance(m, LoraLayer)]
        return found

    def weights(self) -> dict[str, Tensor]:
        """All weights by name within the stack of layers, to be saved alone."""
        return {
            name: parameter.detach()
            for layers in self._layers
            for name, parameter in layers.named_parameters()
            if 'lora_' in name
        }

    @torch.no_grad()
    def merge(self) -> None:
        """Add the changes to the weights and put the plain layers back."""
        (layers,) = self._layers or [nn.ModuleList()]
        for name, module in self._changed():
            module.merge()
            parent, _, own = name.rpartition('.')
            setattr(layers.get_submodule(parent), own, module.get_base_layer())
        self._layers = []


def _linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)
