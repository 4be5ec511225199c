"""The runner of `xtuner train --deepspeed`: checkpoints and resume as in `FLMMRunner`."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import FlexibleRunner
from mmengine.runner.utils import _get_batch_size
from torch import nn

from flmm.registry import OPTIM_WRAPPER_CONSTRUCTORS, RUNNERS
from flmm.utils.errors import FLMMError

from .muon import MuonConstructor
from .resumable import ResumableRunner


def refuse_muon(optim_wrapper: Any) -> None:
    """Refuse Muon, whose step is one of whole matrices.

    ZeRO flattens all parameters of a group into one row and shares that out, so that no process
    has a matrix left to orthogonalise.

    Args:
        optim_wrapper: Of the config.

    Raises:
        FLMMError: It is built by :class:`MuonConstructor`.
    """
    constructor = optim_wrapper.get('constructor') if isinstance(optim_wrapper, dict) else None
    if isinstance(constructor, str):
        constructor = OPTIM_WRAPPER_CONSTRUCTORS.get(constructor)
    if constructor is MuonConstructor:
        # Deleted, as AdamW does not take what is Muon's alone.
        lr = (optim_wrapper.get('optimizer') or {}).get('lr', 1e-3)
        raise FLMMError(
            'optim_wrapper.constructor is MuonConstructor: Muon steps on whole matrices, and '
            "DeepSpeed's ZeRO cuts them up. Train without --deepspeed (tools/dist_train.sh CONFIG "
            'PROCESSES runs DDP), or with AdamW: --cfg-options '
            'optim_wrapper.optimizer._delete_=True optim_wrapper.optimizer.type=AdamW '
            f'optim_wrapper.optimizer.lr={lr} '
            'optim_wrapper.constructor=DefaultOptimWrapperConstructor'
        )


@RUNNERS.register_module()
class FLMMFlexibleRunner(ResumableRunner, FlexibleRunner):
    """mmengine's runner for strategies, with flmm's DeepSpeed strategy.

    `xtuner train --deepspeed` puts mmengine's `FlexibleRunner` and a strategy of its own into the
    config; `flmm.engine.xtuner_entry` makes these two of them for configs of flmm.
    """

    @property
    def bare_model(self) -> nn.Module:
        """The model without DeepSpeed's engine."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def build_bare_model(self) -> nn.Module:
        """The model before the strategy wraps it; mmengine would build it as late as that."""
        self.model = self.strategy.build_model(self.model)
        return self.bare_model

    def build_strategy(self, strategy: Any = None, **kwargs: Any) -> Any:
        """Build flmm's strategy from the config of xtuner's or mmengine's.

        Raises:
            ValueError: There is no config of DeepSpeed.
            FLMMError: The optimiser is one that DeepSpeed cannot run.
        """
        if not isinstance(strategy, dict) or not {'config', 'zero_optimization'} & strategy.keys():
            raise ValueError(
                'FLMMFlexibleRunner runs DeepSpeed and found no config of it under `strategy`. '
                'Use --deepspeed, or FLMMRunner for training without.'
            )
        refuse_muon(self.optim_wrapper)
        # Here: importing DeepSpeed takes seconds, and only this runner needs it.
        from .strategy import FLMMDeepSpeedStrategy

        strategy = dict(strategy, type=FLMMDeepSpeedStrategy)
        # xtuner's own; flmm's LMMs do not split sequences.
        strategy.pop('sequence_parallel_size', None)
        strategy.pop('exclude_frozen_parameters', None)
        # xtuner names it; mmengine adds it for strategies of its own name only.
        loader = self._train_dataloader
        batch_size = 1 if loader is None else _get_batch_size(loader)
        strategy.setdefault('train_micro_batch_size_per_gpu', batch_size)
        # mmengine hands on None where a config says nothing of its environment.
        kwargs['env_cfg'] = kwargs.get('env_cfg') or {}
        return super().build_strategy(strategy, **kwargs)

    def accumulation(self) -> int:
        """Batches of one process that make an optimiser step."""
        return self.strategy.accumulation()

    def accumulation_complete(self) -> bool:
        """Whether the gradients of the last step were used, so that none have to be saved."""
        return self.strategy.accumulation_complete()

    def write_state(self, path: str, state: dict, optimizer: bool, schedulers: bool) -> None:
        """Write a folder; see `ResumableRunner.save_checkpoint`."""
        self.strategy.save_state(path, state, optimizer, schedulers)

    def read_weights(self, path: str, strict: bool) -> None:
        """Load weights; see `ResumableRunner.load_checkpoint`."""
        self.logger.info(f'{path}: {self.strategy.load_weights(path)}.')

    def read_state(self, path: str, optimizer: bool, schedulers: bool) -> dict[str, Any]:
        """Restore a folder; see `ResumableRunner.resume`."""
        return self.strategy.resume_state(path, optimizer, schedulers)
