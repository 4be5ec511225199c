"""Draws what the model predicts for a few samples, again and again while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.datasets import grounding_collate
from flmm.engine.random_state import preserved_random_state
from flmm.registry import DATASETS, HOOKS
from flmm.structures import SkippedSample

from .gallery_hook import prediction_item


@HOOKS.register_module()
class FixedSamplesHook(Hook):
    """Predict the same samples every ``interval`` steps and hand sheets to the visual backends.

    Each sheet (image, ground truth, coarse and final masks) becomes an image ``sample_0``,
    ``sample_1``, ... of the step in TensorBoard, W&B, MLflow, and a file below ``vis_data``.
    Training goes on as if nothing had happened: mode and random states are put back.

    Args:
        interval: Steps between two drawings; the first is before the first step.
        indices: Of the samples. Those that cannot be used are named in the log, once.
        dataset: Config of their dataset, with its pipeline; None takes the training set.
    """

    priority = 'LOW'

    def __init__(
        self,
        interval: int = 500,
        indices: Sequence[int] = (0, 1, 2, 3),
        dataset: dict | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f'interval must be at least 1 step, got {interval}.')
        self.interval, self.indices, self.dataset_config = interval, tuple(indices), dataset
        self._batch: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Read the samples; draw them where training starts from the beginning."""
        with preserved_random_state():
            dataset = runner.train_dataloader.dataset
            if self.dataset_config is not None:
                dataset = DATASETS.build(self.dataset_config)
            items = [dataset[index] for index in self.indices if index < len(dataset)]
        for item in items:
            if isinstance(item, SkippedSample):
                runner.logger.warning(f'Not drawn: {item.sample_id}, {item.detail or item.reason}')
        batch = grounding_collate(items)
        self._batch = batch if batch['samples'] else None
        if runner.iter == 0:
            self._draw(runner, 0)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw when the interval is over."""
        if self.every_n_train_iters(runner, self.interval):
            self._draw(runner, runner.iter + 1)

    def _draw(self, runner: Runner, step: int) -> None:
        if self._batch is None:
            return
        model = runner.model
        training = model.training
        with preserved_random_state(), torch.no_grad():
            model.eval()
            # On all processes: under ZeRO-3 each has only a part of the weights.
            predictions = model.test_step(self._batch)
            model.train(training)
        if not is_main_process():
            return
        for index, prediction in enumerate(predictions):
            sheet = prediction_item(prediction).image
            if sheet is None:  # talk without an image
                continue
            runner.visualizer.add_image(f'sample_{index}', np.asarray(sheet), step)
