"""Checkpoints that are never deleted before their successor is on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook

from flmm.registry import HOOKS

from ..atomic_write import write_text_atomically
from ..checkpoint import load_training_state, save_training_state


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook in a safe order: write the new one, point to it, delete the old.

    Takes the same arguments; works with `FLMMRunner`, which writes each file atomically. So a
    kill at any moment leaves at least one whole checkpoint, and `last_checkpoint` names one.
    """

    def before_train(self, runner) -> None:
        """Find the folder and what an earlier run has kept there."""
        super().before_train(runner)
        self._backend = self.file_backend

    def _save_checkpoint_with_step(self, runner, step, meta):
        outdated = self._advance_kept(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = os.path.join(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        if not is_main_process():
            return
        write_text_atomically(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt)
        for old in outdated:
            _remove(self._backend, old)

    def _advance_kept(self, runner, step) -> list[str]:
        """Add a step to those that are kept; return the files that it makes superfluous."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return []
        outdated = []
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            outdated.append(self.keep_ckpt_ids.popleft())
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return [os.path.join(self.out_dir, self.filename_tmpl.format(old)) for old in outdated]

    def _save_best_checkpoint(self, runner, metrics) -> None:
        # The parent removes the former best before it writes the new one: let it remove nothing,
        # and do so afterwards.
        postponed = _PostponedRemoval(self._backend)
        self.file_backend = postponed
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = self._backend
        current = {getattr(self, 'best_ckpt_path', None)}
        current |= set(getattr(self, 'best_ckpt_path_dict', {}).values())
        for path in postponed.paths:
            if path not in current:
                _remove(self._backend, path)

    @master_only
    def _publish_model(self, runner, ckpt_path: str) -> None:
        state = load_training_state(ckpt_path)
        kept = {key: value for key, value in state.items() if key in self.published_keys}
        digest = hashlib.sha256(Path(ckpt_path).read_bytes()).hexdigest()[:8]
        path = Path(ckpt_path).with_suffix('')
        published = path.with_name(f'{path.name}-{digest}.pth')
        save_training_state(kept, published)
        runner.logger.info(f'{ckpt_path} is published as {published}.')


class _PostponedRemoval:
    """A file backend that only notes what it is asked to remove."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self.paths: list[str] = []

    def remove(self, path) -> None:
        self.paths.append(str(path))

    def rmtree(self, path) -> None:
        self.paths.append(str(path))

    def __getattr__(self, name):
        return getattr(self._backend, name)


def _remove(backend, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):
        # DeepSpeed's checkpoints are folders.
        backend.rmtree(path)
