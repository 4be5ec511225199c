"""Tells the training dataset which epoch begins."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.registry import HOOKS


@HOOKS.register_module()
class DatasetEpochHook(Hook):
    """Call ``dataset.set_epoch``, so that random sentences are drawn anew in every epoch.

    Datasets draw from ``(seed, epoch, id)``; without this hook they would draw the same ones in
    all epochs.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch of a dataset that wants to know it."""
        dataset = runner.train_dataloader.dataset
        if hasattr(dataset, 'set_epoch'):
            dataset.set_epoch(runner.epoch)
