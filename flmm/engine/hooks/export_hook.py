"""Writes a model as a Hugging Face folder while it trains and at the end."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.registry import HOOKS


@HOOKS.register_module()
class ExportHook(Hook):
    """Call ``model.export(folder)`` every few iterations and after training.

    Args:
        folder: Where to write.
        interval: Iterations between two exports; 0 for the end only.
    """

    def __init__(self, folder: str, interval: int = 0):
        self.folder = folder
        self.interval = interval

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Export when the interval is over."""
        if self.interval and self.every_n_train_iters(runner, self.interval):
            self._export(runner)

    def after_train(self, runner: Runner) -> None:
        """Export the final weights."""
        self._export(runner)

    def _export(self, runner: Runner) -> None:
        if runner.rank == 0:
            model = getattr(runner.model, 'module', runner.model)
            model.export(self.folder)
