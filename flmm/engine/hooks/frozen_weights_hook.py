"""Proof that a training left the frozen weights alone, bit by bit."""

from __future__ import annotations

import hashlib

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from flmm.registry import HOOKS
from flmm.utils.errors import FLMMError


@HOOKS.register_module()
class FrozenWeightsHook(Hook):
    """Hash every frozen parameter before and after training, log the hash, refuse a difference.

    Meant for experiments whose claim is that the base stays as it is (adapters on an LMM, in 4
    bits or not). Reading all weights takes a second per few gigabytes; with partitioned weights
    (ZeRO-3) each process hashes what it has.
    """

    def before_train(self, runner: Runner) -> None:
        """Remember the hashes.

        Args:
            runner: The runner.
        """
        self._before = frozen_hashes(runner.model)
        runner.logger.info(f'{len(self._before)} frozen weights, {_together(self._before)}')

    def after_train(self, runner: Runner) -> None:
        """Compare.

        Args:
            runner: The runner.

        Raises:
            FLMMError: A frozen weight has other bits than before; some are named.
        """
        after = frozen_hashes(runner.model)
        changed = sorted(name for name in self._before if after.get(name) != self._before[name])
        if changed:
            raise FLMMError(
                f'{len(changed)} of {len(self._before)} frozen weights changed in training: '
                f'{", ".join(changed[:3])}.'
            )
        runner.logger.info(f'{len(after)} frozen weights bit-identical, {_together(after)}')


def frozen_hashes(model: nn.Module) -> dict[str, str]:
    """SHA-256 of the bytes of each parameter that does not train.

    Args:
        model: The model.
    """
    return {
        name: hashlib.sha256(_bytes(parameter)).hexdigest()
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }


def _bytes(parameter: Tensor) -> bytes:
    # Under ZeRO-3 the parameter itself is empty between two steps; its share is beside it.
    own = getattr(parameter, 'ds_tensor', parameter)
    data = own.detach().contiguous().flatten().view(torch.uint8)
    return data.cpu().numpy().tobytes()


def _together(hashes: dict[str, str]) -> str:
    text = ''.join(f'{name}{value}' for name, value in sorted(hashes.items()))
    return f'sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}'
