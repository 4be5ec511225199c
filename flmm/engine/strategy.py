"""DeepSpeed's ZeRO-1, 2 and 3 as flmm runs them: also without a GPU, nothing frozen copied."""

from __future__ import annotations

import os
from typing import Any

import deepspeed
import torch
import torch.distributed as torch_dist
from deepspeed.runtime.config import DeepSpeedConfig
from mmengine._strategy import DeepSpeedStrategy
from mmengine._strategy.deepspeed import MMDeepSpeedEngineWrapper
from mmengine.device import get_device
from mmengine.dist import is_main_process
from torch import nn

from flmm.registry import STRATEGIES
from flmm.utils.errors import CheckpointError, FLMMError

from .checkpoint import LoadReport, load_trainable_state_dict, trainable_buffer_names
from .dist import gather_plain, init_distributed, on_first
from .frugal_engine import FrugalEngine, join_deepspeed
from .guarded_update import all_finite
from .partitioned_lmm import PartitionedLayers, find_lmms, trained_layers
from .runner import load_schedulers, restore_part
from .sharded_checkpoint import (
    is_sharded_state,
    load_common,
    load_sharded_weights,
    read_pieces,
    save_sharded_state,
)
from .step_guard import NonFiniteError
from .weights import load_weights
from .zero_state import (
    collect_pieces,
    full_shape,
    named_trainable,
    restore_optimizer,
    restore_scalars,
    zero_scalars,
    zero_stage,
)


def refuse_trained_layers(config: dict, model: nn.Module, world_size: int) -> None:
    """Refuse ZeRO-3 on several processes for a system that trains whole layers of its LMM.

    Their gradients would have to be split layer by layer, as DeepSpeed's stage 3 does, which needs
    all processes to run the same modules in the same order. Heads do not: how often they run
    depends on the sizes and phrases of a batch.

    Args:
        config: Of DeepSpeed.
        model: The system.
        world_size: Processes.

    Raises:
        FLMMError: It is such a run.
    """
    if _stage(config) == 3 and world_size > 1 and (trained := trained_layers(model)):
        raise FLMMError(
            f'{type(model).__name__} trains {len(trained)} whole layers of its LMM, which ZeRO-3 '
            f'on {world_size} processes cannot do here: it shares out frozen layers, with or '
            'without adapters in them. Use ZeRO-2 (--deepspeed deepspeed_zero2), or one process.'
        )


def _stage(config: dict) -> int:
    return int(config.get('zero_optimization', {}).get('stage', 0))


def _with_whole_gathers(config: dict) -> dict:
    """The config of DeepSpeed, safe for gloo.

    Stage 3 gathers many parameters at once and waits for the last of them, which NCCL does in
    order and gloo does not: without this option weights were read that had not arrived yet.
    """
    if _stage(config) != 3 or torch.cuda.is_available():
        return config
    zero = {**config['zero_optimization'], 'stage3_allgather_sequential': True}
    return {**config, 'zero_optimization': zero}


def _for_trained_part(config: dict) -> dict:
    """The config of DeepSpeed for what is trained, where the LMM's layers are shared out by flmm.

    Heads and adapters are small and stay whole; their gradients and optimiser are split as in
    stage 2.
    """
    zero = {k: v for k, v in config['zero_optimization'].items() if k != 'offload_param'}
    return {**config, 'zero_optimization': {**zero, 'stage': 2}}


class EngineWrapper(MMDeepSpeedEngineWrapper):
    """mmengine's wrapper of a DeepSpeed engine, which also looks like a wrapper of a module."""

    @property
    def module(self) -> nn.Module:
        """The bare model."""
        return self.model.module


@STRATEGIES.register_module()
class FLMMDeepSpeedStrategy(DeepSpeedStrategy):
    """DeepSpeed with ZeRO-1, 2 or 3.

    What differs from mmengine's and xtuner's strategies: it runs without a GPU (gloo); the frozen
    part keeps its own dtype and is not sent around; with ZeRO-3 it is partitioned after it was
    built like any model, not inside `from_pretrained`, and gathered by
    `flmm.engine.partitioned_lmm`; checkpoints are those of `flmm.engine.sharded_checkpoint`.

    Args:
        kwargs: As mmengine's strategy takes them.
    """

    def _setup_distributed(
        self, launcher: str | None = None, backend: str = 'nccl', **kwargs: Any
    ) -> None:
        init_distributed(launcher or 'none', backend, **kwargs)

    def prepare(self, model: nn.Module | dict, **kwargs: Any) -> Any:
        """Build model, optimiser and schedulers; see mmengine's strategy.

        One process without a launcher is made a group of its own, as DeepSpeed wants one.
        """
        if not torch_dist.is_initialized():
            backend = 'nccl' if torch.cuda.is_available() else 'gloo'
            store = torch_dist.HashStore()
            torch_dist.init_process_group(backend, store=store, rank=0, world_size=1)
            os.environ.setdefault('LOCAL_RANK', '0')
        return super().prepare(model, **kwargs)

    def _wrap_model(self, model: nn.Module) -> EngineWrapper:
        refuse_trained_layers(self.config, model, torch_dist.get_world_size())
        # What deepspeed.initialize does, with an engine of our own.
        join_deepspeed()
        optimizer = self.optim_wrapper.optimizer if hasattr(self, 'optim_wrapper') else None
        config = _with_whole_gathers(self.config)
        shared_out = None
        if _stage(config) == 3 and (lmms := find_lmms(model)) and not trained_layers(model):
            # Before the engine moves what is whole to its device.
            offload = config['zero_optimization'].get('offload_param')
            shared_out = PartitionedLayers(model, lmms, offload)
            config = _for_trained_part(config)
            self.logger.info(
                f'ZeRO-3: {len(shared_out.layers)} layers of the LMM with '
                f'{shared_out.num_parameters} parameters are shared out over '
                f'{torch_dist.get_world_size()} processes; what is trained stays whole.'
            )
        engine = FrugalEngine(
            args=None,
            model=model,
            optimizer=optimizer,
            config=config,
            config_class=DeepSpeedConfig(config),
        )
        engine.shared_out = shared_out
        if optimizer is not None:
            zero_stage(engine)
            self.optim_wrapper.optimizer = engine.optimizer
        model.data_preprocessor.to(get_device())
        return EngineWrapper(model=engine, inputs_to_half=self._inputs_to_half)

    def accumulation_complete(self) -> bool:
        """Whether the gradients of the last step were used, so that none have to be saved."""
        return self.model.micro_steps % self.accumulation() == 0

    def accumulation(self) -> int:
        """Batches of one process that make an optimiser step."""
        return self.model.gradient_accumulation_steps()

    def save_state(
        self, path: str, common: dict[str, Any], save_optimizer: bool, save_schedulers: bool
    ) -> None:
        """Write a checkpoint folder; all processes call this together.

        Args:
            path: The folder.
            common: On the first process what `ResumableRunner.run_state` told.
            save_optimizer: Whether the optimiser's state goes in.
            save_schedulers: Whether the schedulers' state goes in.

        Raises:
            CheckpointWriteError: It cannot be written; an older one of that name is intact.
            NonFiniteError: Weights are NaN or infinite; nothing is written.
        """
        pieces = collect_pieces(self.model, save_optimizer)
        self._refuse_nonfinite(path, pieces)
        bare = self.model.module
        if is_main_process():
            parameters, aliases = named_trainable(bare)
            state = bare.state_dict()
            common['state_dict'] = {name: state[name] for name in trainable_buffer_names(bare)}
            common['shapes'] = {name: list(full_shape(p)) for name, p in parameters.items()}
            common['aliases'] = aliases
            common['zero'] = zero_scalars(self.model) if save_optimizer else {}
            if save_schedulers and hasattr(self, 'param_schedulers'):
                common['param_schedulers'] = self.scheduler_state_dict()
        save_sharded_state(path, common if is_main_process() else None, pieces, self.rank)

    @staticmethod
    def _refuse_nonfinite(path: str, pieces: dict[str, dict[str, Any]]) -> None:
        """Stop on all processes where one has weights that are no numbers."""
        bad = gather_plain([n for n, piece in pieces.items() if not all_finite([piece['weight']])])

        def judge() -> None:
            names = sorted({name for part in bad for name in part})
            if names:
                raise NonFiniteError(
                    f'{len(names)} weights are NaN or infinite, so {path} is not written: '
                    f'{", ".join(names[:5])}. Resume from an earlier checkpoint with a lower '
                    'learning rate.'
                )

        on_first(judge)

    def load_weights(self, path: str) -> LoadReport:
        """Load weights from anything that `flmm.engine.weights.load_weights` reads.

        Raises:
            CheckpointError: A trainable parameter is missing, or of another shape.
        """
        weights = load_weights(path)
        report = self._load_into_model(weights, path)
        # The float32 copies that the optimiser steps on follow.
        restore_optimizer(
            self.model,
            (
                (name, {'start': 0, 'weight': weights[name].float().flatten()})
                for name in named_trainable(self.model.module)[0]
            ),
        )
        return report

    def resume_state(self, path: str, optimizer: bool, schedulers: bool) -> dict[str, Any]:
        """Restore model, optimiser and schedulers from a checkpoint folder.

        Args:
            path: The folder.
            optimizer: Whether to restore the optimiser.
            schedulers: Whether to restore the schedulers.

        Returns:
            What all processes share, for `ResumableRunner.restore_run`.

        Raises:
            CheckpointError: It is broken, or of another config.
            UnsafeFileError: It holds more than tensors and plain containers.
        """
        if not is_sharded_state(path):
            raise CheckpointError(
                path,
                'expected a checkpoint folder of an flmm run with --deepspeed.',
                fix='To start from its weights, set load_from instead of resuming.',
            )
        common = load_common(path)
        report = self._load_into_model(load_sharded_weights(path), path)
        self.logger.info(f'{path}: {report}.')
        if optimizer:
            restore_part('zero', common, path, lambda saved: restore_scalars(self.model, saved))
            restore_part(
                'shapes', common, path, lambda _: restore_optimizer(self.model, read_pieces(path))
            )
        if schedulers and hasattr(self, 'param_schedulers'):
            load = load_schedulers(self.param_schedulers)
            restore_part('param_schedulers', common, path, load)
        return common

    @property
    def _partitioned(self) -> bool:
        return zero_stage(self.model) == 3

    def _load_into_model(self, weights: dict[str, Any], path: str) -> LoadReport:
        bare = self.model.module
        parameters = list(named_trainable(bare)[0].values())
        # Whole for a moment; what the first process has then is shared out again.
        with deepspeed.zero.GatheredParameters(
            parameters, modifier_rank=0, enabled=self._partitioned
        ):
            names = {*named_trainable(bare)[0], *trainable_buffer_names(bare)}
            names |= set(named_trainable(bare)[1])
            frozen = {n for n, p in bare.named_parameters() if not p.requires_grad}
            unpartitioned = {n: w for n, w in weights.items() if n in names or n not in frozen}
            return load_trainable_state_dict(bare, unpartitioned, path)
