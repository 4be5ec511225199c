"""Says at the end of an epoch which samples and phrases could not be used."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.engine.skip_counter import SkipCounter
from flmm.registry import HOOKS


@HOOKS.register_module()
class SkippedSampleHook(Hook):
    """Count skipped samples and dropped phrases by reason, report them after each epoch.

    Nothing is replaced or repeated: the report is how a user learns that a tenth of the images
    is missing. The counts also go to the message hub (``train/skipped_samples``, ...) and
    thereby to the log files.

    Args:
        num_examples: Skipped samples that the report names with their error.
    """

    priority = 'NORMAL'

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = num_examples
        self.counter = SkipCounter()

    def before_train_epoch(self, runner: Runner) -> None:
        """Start counting anew."""
        self.counter.clear()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count a batch."""
        self.counter.add(data_batch)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report the epoch, of all processes together."""
        merged = self.counter.gather()
        for name, by_reason in merged.counts().items():
            runner.message_hub.update_scalar(f'train/{name}', sum(by_reason.values()))
        sentence = merged.sentence(self.num_examples)
        if sentence:
            runner.logger.warning(f'Epoch {runner.epoch + 1}: {sentence}')
        self.counter.clear()
