"""Muon for the matrices inside a model, AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024; torch's own implementation) leaves the plateaus of small language models
in about half the steps of AdamW. It is meant for hidden matrices only; embeddings, heads, norms
and biases stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import Tensor, nn

from flmm.registry import OPTIM_WRAPPER_CONSTRUCTORS


class MuonAdamW(torch.optim.Optimizer):
    """Two optimizers behind the interface of one.

    Args:
        matrices: Two-dimensional hidden weights, updated by Muon.
        others: All other parameters, updated by AdamW.
        lr: Of AdamW.
        muon_lr: Of Muon; None for ten times ``lr``.
        betas: Of AdamW.
        weight_decay: Of both.
        momentum: Of Muon.
    """

    def __init__(
        self,
        matrices: list[Tensor],
        others: list[Tensor],
        lr: float,
        muon_lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.02,
        momentum: float = 0.95,
    ) -> None:
        self._muon = torch.optim.Muon(
            matrices,
            lr=10 * lr if muon_lr is None else muon_lr,
            weight_decay=weight_decay,
            momentum=momentum,
        )
        self._adamw = torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay)
        super().__init__([*matrices, *others], {'lr': lr})
        # The same dicts: a scheduler that sets a learning rate here sets it there.
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters."""
        result = None if closure is None else closure()
        self._muon.step()
        self._adamw.step()
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both, of tensors and plain containers."""
        return {'muon': self._muon.state_dict(), 'adamw': self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned."""
        self._muon.load_state_dict(state_dict['muon'])
        self._adamw.load_state_dict(state_dict['adamw'])
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MuonConstructor(DefaultOptimWrapperConstructor):
    """Build an ``OptimWrapper`` around :class:`MuonAdamW`.

    The config's ``optimizer`` holds the arguments of ``MuonAdamW`` but for the parameters.
    Embeddings and the language head are recognised by their modules; what else is to stay with
    AdamW is named by a part of its name in ``paramwise_cfg=dict(adamw=[...])``.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Sort the trainable parameters of a model and build the wrapper."""
        outside = {
            id(module.weight)
            for name, module in model.named_modules()
            if isinstance(module, nn.Embedding) or name.endswith('lm_head')
        }
        named = tuple(self.paramwise_cfg.get('adamw', ()))
        matrices, others = [], []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                inside = parameter.ndim == 2 and id(parameter) not in outside
                inside &= not any(part in name for part in named)
                (matrices if inside else others).append(parameter)
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.pop('type', None)
        return OptimWrapper(MuonAdamW(matrices, others, **self.optimizer_cfg), **wrapper)
