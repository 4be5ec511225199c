"""mmengine's runner with flmm's checkpoint files and exact resume."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from flmm.registry import RUNNERS
from flmm.utils.errors import CheckpointError, CheckpointWriteError

from .checkpoint import (
    load_trainable_state_dict,
    load_training_state,
    save_training_state,
    trainable_state_dict,
)
from .dist import init_distributed, on_first
from .half_weights import warn_of_half_weights
from .resumable import ResumableRunner
from .sharded_checkpoint import is_sharded_state
from .weights import load_weights


@RUNNERS.register_module()
class FLMMRunner(ResumableRunner, Runner):
    """Runner whose checkpoints hold the trainable part only and never execute anything.

    Name it in a config with `runner_type = FLMMRunner`; `xtuner train` then uses it. What differs
    from mmengine's: several processes also run without a GPU (gloo); files are written atomically
    and hold only tensors and plain containers; loading refuses a file that lacks a trainable
    parameter; text found in a checkpoint stays text (mmengine runs `meta['config']` as Python);
    a resumed run goes on exactly as it would have (`flmm.engine.resumable`).
    """

    @property
    def bare_model(self) -> nn.Module:
        """The model without a distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def setup_env(self, env_cfg: dict) -> None:
        """Join the other processes, with gloo where there is no GPU; then as mmengine does."""
        if self.distributed:
            init_distributed(self.launcher, **env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes; what is frozen is not sent around."""
        if self.distributed and not is_model_wrapper(model):
            # Every process has read it from the same files, often as memory-mapped pages.
            frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, frozen)
            if not torch.cuda.is_available():
                # mmengine names a GPU for each process otherwise.
                unused = self.cfg.get('find_unused_parameters', False)
                model_wrapper_cfg = {
                    'type': 'MMDistributedDataParallel',
                    'broadcast_buffers': False,
                    'find_unused_parameters': unused,
                    **(model_wrapper_cfg or {}),
                    'device_ids': None,
                }
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build it as mmengine does; weights that are too coarse to be trained get a warning."""
        built = super().build_optim_wrapper(optim_wrapper)
        if built is not optim_wrapper:
            warn_of_half_weights(self.bare_model, self.logger)
        return built

    def accumulation(self) -> int:
        """Batches of one process that make an optimiser step; 1 where several optimisers count."""
        wrapper = self.optim_wrapper
        return wrapper._accumulative_counts if isinstance(wrapper, OptimWrapper) else 1

    def accumulation_complete(self) -> bool:
        """Whether the gradients of the last step were used, so that none have to be saved."""
        wrapper = self.optim_wrapper
        return wrapper.should_update() if isinstance(wrapper, OptimWrapper) else True

    def write_state(self, path: str, state: dict, optimizer: bool, schedulers: bool) -> None:
        """Write a file; see `ResumableRunner.save_checkpoint`."""
        if is_main_process():
            state['state_dict'] = trainable_state_dict(self.bare_model)
            if optimizer:
                state['optimizer'] = self.optim_wrapper.state_dict()
            if schedulers and self.param_schedulers is not None:
                state['param_schedulers'] = map_schedulers(
                    self.param_schedulers, lambda scheduler: scheduler.state_dict()
                )
            self.call_hook('before_save_checkpoint', checkpoint=state)

        def write() -> None:
            try:
                save_training_state(state, path)
            # torch reports a failed write as RuntimeError.
            except (OSError, RuntimeError) as error:
                raise CheckpointWriteError(path, f'cannot be written ({error}).') from error

        on_first(write)

    def read_weights(self, path: str, strict: bool) -> dict:
        """Load weights; see `ResumableRunner.load_checkpoint`."""
        checkpoint = {'state_dict': load_weights(path)}
        self._load_into_model(checkpoint, path, strict)
        return checkpoint

    def read_state(self, path: str, optimizer: bool, schedulers: bool) -> dict[str, Any]:
        """Restore a file; see `ResumableRunner.resume`."""
        if is_sharded_state(path):
            raise CheckpointError(
                path,
                'was saved by a DeepSpeed run.',
                fix='Resume it with --deepspeed, or set load_from to start from its weights.',
            )
        state = load_training_state(path)
        self._load_into_model(state, path, strict=False)
        if optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            restore_part('optimizer', state, path, self.optim_wrapper.load_state_dict)
        if schedulers and self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            load = load_schedulers(self.param_schedulers)
            restore_part('param_schedulers', state, path, load)
        return state

    def _load_into_model(self, checkpoint: dict, filename: str, strict: bool) -> None:
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        report = load_trainable_state_dict(self.bare_model, checkpoint['state_dict'], filename)
        if strict and report.unexpected:
            raise CheckpointError(filename, f'does not fit the model: {report}.', key='state_dict')
        level = logging.WARNING if report.unexpected or report.missing_buffers else logging.INFO
        self.logger.log(level, f'{filename}: {report}.')


def restore_part(key: str, state: dict, filename: str, load: Any) -> None:
    """Load one part of a training state.

    Args:
        key: Of the part.
        state: The training state.
        filename: Its file, for errors.
        load: Called with the part.

    Raises:
        CheckpointError: The part is missing or does not fit.
    """
    if key not in state:
        raise CheckpointError(
            filename,
            'is missing, so training cannot be resumed from this file.',
            key=key,
            fix='To start from its weights alone, set load_from instead of resuming.',
        )
    try:
        load(state[key])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            filename,
            f'does not fit this config: {error}.',
            key=key,
            fix='Did the optimiser or its schedule change?',
        ) from error


def map_schedulers(schedulers: Any, function: Any) -> Any:
    """Apply a function to each scheduler of a list, or of a dict of lists."""
    if isinstance(schedulers, dict):
        return {name: map_schedulers(part, function) for name, part in schedulers.items()}
    return [function(scheduler) for scheduler in schedulers]


def load_schedulers(schedulers: Any) -> Any:
    """A function that gives schedulers their saved states.

    Args:
        schedulers: A list, or a dict of lists; the states have the same form.
    """

    def load(saved: Any) -> None:
        for scheduler, state in _pairs(schedulers, saved):
            scheduler.load_state_dict(state)

    return load


def _pairs(schedulers: Any, saved: Any) -> list:
    if isinstance(schedulers, dict):
        return [pair for name, part in schedulers.items() for pair in _pairs(part, saved[name])]
    if len(schedulers) != len(saved):
        raise ValueError(f'expected {len(schedulers)} schedulers, got {len(saved)}')
    return list(zip(schedulers, saved, strict=True))
