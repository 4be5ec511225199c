"""What both runners of flmm share: finding, writing and restoring the state of a run."""

from __future__ import annotations

import copy
import logging
import os
import time
from abc import ABC, abstractmethod
from typing import Any

import mmengine
from mmengine.dist import get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from flmm.utils.errors import CheckpointError
from flmm.version import __version__

from .checkpoint import message_hub_from_plain, message_hub_to_plain
from .dist import gather_plain, on_first
from .frozen_sample import KEY, read_sample, sample_frozen, warn_of_other_parts
from .latest import find_latest_training_state, read_meta
from .random_state import random_state
from .start_weights import complete, hand_over_weights
from .train_loops import ResumableLoop, resumable_loop_config


class ResumableRunner(ABC):
    """Mixin of mmengine's runners: exact resume, whatever the strategy is.

    mmengine's training loops are replaced by those of `flmm.engine.train_loops`.
    """

    @classmethod
    def from_cfg(cls, cfg: Any) -> Any:
        """Build a runner from a config; a run that is resumed takes its checkpoint's seed.

        The seed has to be known before the first dataloader is built.
        """
        if cfg.get('resume'):
            path = cfg['resume'] if isinstance(cfg['resume'], str) else cfg.get('load_from')
            if path is None:
                path = find_latest_training_state(cfg.get('work_dir') or 'work_dirs')
            if path is not None:
                cfg = copy.deepcopy(cfg)
                randomness = dict(cfg.get('randomness') or {})
                cfg['randomness'] = {**randomness, 'seed': read_meta(path)['seed']}
        return super().from_cfg(cfg)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the training loop, a resumable one in place of mmengine's own."""
        return super().build_train_loop(
            resumable_loop_config(loop) if isinstance(loop, dict) else loop
        )

    def train(self) -> nn.Module:
        """Train; a system that starts from another training gets its weights first.

        Not where a checkpoint is resumed or loaded: that has all that trains, and the other
        training may be gone; unless frozen parts come from there.
        """
        self._settle_resume()
        if not (self._resume or self._load_from or self._has_loaded):
            hand_over_weights(self.build_bare_model())
        elif not self._has_loaded:
            complete(self.build_bare_model())
        return super().train()

    def _settle_resume(self) -> None:
        """Put the newest whole checkpoint, or none, in the place of `resume=True`."""
        if self._resume is True and self._load_from is None:
            latest = on_first(lambda: find_latest_training_state(self.work_dir))
            if latest is None:
                self.logger.info(f'No checkpoint to resume in {self.work_dir}: starting anew.')
            self._resume = False if latest is None else str(latest)

    def load_or_resume(self) -> None:
        """Load or resume what the config says, once; `resume` alone takes the newest whole one."""
        if self._has_loaded:
            return
        self._settle_resume()
        if self._resume:
            self.resume(self._load_from or self._resume)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)

    @property
    @abstractmethod
    def bare_model(self) -> nn.Module:
        """The model without what distributes it."""

    def build_bare_model(self) -> nn.Module:
        """The model without what distributes it, built now where that was still to come."""
        return self.bare_model

    @abstractmethod
    def accumulation_complete(self) -> bool:
        """Whether the gradients of the last step were used, so that none have to be saved."""

    @abstractmethod
    def accumulation(self) -> int:
        """Batches of one process that make an optimiser step."""

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a training state; checkpoint hooks call this, on all processes.

        Args:
            out_dir: Its folder, on a local or mounted disk that all processes share.
            filename: Its name; of a file, or under DeepSpeed of a folder.
            file_client_args: Not supported, as atomic writing needs a file system.
            save_optimizer: Whether the optimiser's state goes in.
            save_param_scheduler: Whether the schedulers' state goes in.
            meta: More plain values for `meta`; `epoch` and `iter` in it win.
            by_epoch: Whether this is called at the end of an epoch, before it is counted.
            backend_args: Not supported, see `file_client_args`.

        Raises:
            CheckpointWriteError: It cannot be written; an older one of that name is intact.
            ValueError: It is to be written to a backend.
        """
        if file_client_args or backend_args:
            raise ValueError('Checkpoints are written to a file system, not to a backend.')
        state = self.run_state(meta, by_epoch)
        path = os.path.join(out_dir, filename)
        self.write_state(path, state, save_optimizer, save_param_scheduler)

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: list | None = None,
    ) -> dict | None:
        """Load weights, from anything that `flmm.engine.weights.load_weights` reads.

        Args:
            filename: A local file, or a folder of DeepSpeed or flmm.
            map_location: Ignored: tensors are read to the CPU and copied into the model.
            strict: Whether tensors that the model lacks are an error; under DeepSpeed they are
                named in the log.
            revise_keys: Not supported; a converter renames keys.

        Returns:
            A dict with the `state_dict`; None under DeepSpeed.

        Raises:
            CheckpointError: A trainable parameter is missing, or of another shape.
            UnsafeFileError: The file holds more than tensors and plain containers.
            ValueError: Keys are to be renamed.
        """
        if revise_keys:
            raise ValueError('flmm does not rename keys; convert the checkpoint instead.')
        loaded = self.read_weights(filename, strict)
        warn_of_other_parts(self.bare_model, read_sample(filename), filename)
        self._has_loaded = True
        return loaded

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = 'cpu',
    ) -> None:
        """Go on from a training state, written by any number of processes.

        Args:
            filename: A local file; under DeepSpeed a folder, of any stage of ZeRO.
            resume_optimizer: Whether to restore the optimiser.
            resume_param_scheduler: Whether to restore the schedulers.
            map_location: Ignored: everything is read to the CPU and copied to its place.

        Raises:
            CheckpointError: It is not a training state of this config.
            UnsafeFileError: The file holds more than tensors and plain containers.
        """
        state = self.read_state(filename, resume_optimizer, resume_param_scheduler)
        warn_of_other_parts(self.bare_model, state['meta'].get(KEY), filename)
        self.restore_run(state, filename)
        self._has_loaded = True
        self.logger.info(f'Resumed {filename}: epoch {self.epoch}, iteration {self.iter}.')

    @abstractmethod
    def write_state(self, path: str, state: dict, optimizer: bool, schedulers: bool) -> None:
        """Write `run_state`'s result with model, optimiser and schedulers."""

    @abstractmethod
    def read_weights(self, path: str, strict: bool) -> dict | None:
        """Read weights into the model; see `load_checkpoint`."""

    @abstractmethod
    def read_state(self, path: str, optimizer: bool, schedulers: bool) -> dict[str, Any]:
        """Restore model, optimiser and schedulers; give what `restore_run` takes."""

    def run_state(self, meta: dict | None, by_epoch: bool) -> dict[str, Any]:
        """What a checkpoint holds besides model and optimiser; all processes call this together.

        Args:
            meta: More plain values for `meta`; `epoch` and `iter` in it win.
            by_epoch: Whether this is called at the end of an epoch, before it is counted.

        Returns:
            On the first process the state, on others an empty dict.
        """
        random_states = gather_plain(random_state())
        if not is_main_process():
            return {}
        loop = self.train_loop
        state: dict[str, Any] = {
            'meta': {
                'epoch': self.epoch + int(by_epoch),
                'iter': self.iter + int(not by_epoch),
                **(meta or {}),
                'seed': self.seed,
                'experiment_name': self.experiment_name,
                'time': time.strftime('%Y-%m-%dT%H:%M:%S'),
                'flmm_version': __version__,
                'mmengine_version': mmengine.__version__,
                'config': self.cfg.pretty_text,
                KEY: sample_frozen(self.bare_model),
            },
            'message_hub': message_hub_to_plain(self.message_hub.state_dict()),
            'random_states': random_states,
            'global_batch': self.global_batch(),
        }
        if isinstance(loop, ResumableLoop):
            state['progress'] = loop.progress()
        return state

    def global_batch(self) -> dict[str, int]:
        """How many samples make a batch of all processes, and batches a step of the optimiser."""
        loader = self.train_loop.dataloader
        size = getattr(loader.batch_sampler, 'batch_size', None) or 0
        world_size = get_world_size()
        return {
            'samples': size * world_size,
            'processes': world_size,
            'accumulation': self.accumulation(),
        }

    def restore_run(self, state: dict[str, Any], path: str) -> None:
        """Restore what `run_state` told: place in the data, generators, log history.

        Args:
            state: From a checkpoint; older ones lack some of it.
            path: The checkpoint, for errors.

        Raises:
            CheckpointError: It was trained with another global batch or seed, or has another form.
        """
        meta, loop = state['meta'], self.train_loop
        if 'global_batch' in state:
            check_global_batch(state['global_batch'], self.global_batch(), path)
        own_seed = self.seed - (self.rank if self._randomness_cfg.get('diff_rank_seed') else 0)
        if meta['seed'] != own_seed:
            raise CheckpointError(
                path,
                f'was trained with the seed {meta["seed"]}, this run has {own_seed}.',
                key="meta['seed']",
                fix=f'Set randomness=dict(seed={meta["seed"]}).',
            )
        if not isinstance(loop, ResumableLoop):
            loop._epoch, loop._iter = meta['epoch'], meta['iter']
            print_log(
                f'{type(loop).__name__} is none of the resumable loops: batches are loaded again, '
                'random states are not restored.',
                logger='current',
                level=logging.WARNING,
            )
        else:
            states = state.get('random_states') or [None]
            # With another number of processes nothing is the same but the samples.
            same = len(states) == get_world_size()
            loop.resume_at(
                meta['epoch'],
                meta['iter'],
                state.get('progress'),
                states[self.rank] if same else states[0],
            )
        if 'message_hub' in state:
            self.message_hub.load_state_dict(message_hub_from_plain(state['message_hub'], path))


def check_global_batch(saved: dict[str, int], now: dict[str, int], path: str) -> None:
    """Check that a resumed run takes the same steps over the same samples.

    The number of processes may change when the batch of all processes together does not.

    Args:
        saved: `ResumableRunner.global_batch` of the run that wrote the checkpoint.
        now: Of this run.
        path: The checkpoint, for errors.

    Raises:
        CheckpointError: The batch or the accumulation differs.
    """
    if not isinstance(saved, dict) or not {'samples', 'processes', 'accumulation'} <= saved.keys():
        raise CheckpointError(path, 'has another form.', key='global_batch')
    if saved['samples'] != now['samples']:
        per_process, rest = divmod(saved['samples'], now['processes'])
        fix = f'Set train_dataloader.batch_size={per_process}.'
        if rest:
            fix = f'Use a number of processes that divides {saved["samples"]}.'
        raise CheckpointError(
            path,
            f'was trained with {saved["samples"]} samples in a batch of its {saved["processes"]} '
            f'processes together, this run has {now["samples"]} on {now["processes"]}; its steps '
            'would not be the same.',
            key='global_batch',
            fix=f'{fix} To start anew from its weights, set load_from instead of resuming.',
        )
    if saved['accumulation'] != now['accumulation']:
        raise CheckpointError(
            path,
            f'was trained with accumulative_counts={saved["accumulation"]}, this run has '
            f'{now["accumulation"]}.',
            key='global_batch',
            fix='Set it as it was, or set load_from instead of resuming.',
        )
