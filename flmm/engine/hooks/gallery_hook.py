"""Draws predictions of a test run while it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.evaluation import functional as F
from flmm.registry import HOOKS
from flmm.structures import GroundingPrediction
from flmm.visualization import GalleryItem, GalleryWriter, draw_prediction
from flmm.visualization.samples import sample_words


@HOOKS.register_module()
class GalleryHook(Hook):
    """Write PNG sheets (image, ground truth, coarse, final masks) and a page of them.

    Drawn are the first samples of each task that the main process sees; skipped samples are
    named on the page.

    Args:
        folder: Where to.
        max_samples: Of each task.
        title: Headline of the page.
    """

    priority = 'LOW'

    def __init__(self, folder: str, max_samples: int = 40, title: str = 'Predictions') -> None:
        self.folder = Path(folder)
        self.max_samples = max_samples
        self.title = title
        self.writer: GalleryWriter | None = None
        self.seen: Counter[str] = Counter()

    def before_test_epoch(self, runner: Runner) -> None:
        """Open a new gallery."""
        if is_main_process():
            self.writer = GalleryWriter(self.folder, self.title)
            self.seen.clear()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[GroundingPrediction] | None = None,
    ) -> None:
        """Draw the batch, as far as the task has room."""
        task = getattr(runner.test_loop, 'task', '')
        if self.writer is None or self.seen[task] >= self.max_samples:
            return
        items = [prediction_item(prediction, task) for prediction in outputs or ()]
        items += [
            GalleryItem(
                skipped.sample_id, note=f'skipped: {skipped.reason} {skipped.detail}', group=task
            )
            for skipped in (data_batch or {}).get('skipped', ())
        ]
        for item in items[: self.max_samples - self.seen[task]]:
            self.writer.add(item)
            self.seen[task] += 1

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the page."""
        if self.writer is not None:
            note = f'Drawn are the first {self.max_samples} samples of each task.'
            path = self.writer.close(metrics, [note])
            runner.logger.info(f'Gallery of {len(self.writer)} samples: {path}')
            self.writer = None


def prediction_item(prediction: GroundingPrediction, group: str = '') -> GalleryItem:
    """The card of a prediction, with IoUs where there is ground truth."""
    sample = prediction.sample
    scores, ious = {}, None
    if sample.gt_masks is not None and len(sample.gt_masks):
        ious = F.mask_iou(prediction.pred_masks, sample.gt_masks)
        scores['mean IoU'] = 100 * F.mean(ious)
        if prediction.coarse_masks is not None:
            coarse = F.mask_iou(prediction.coarse_masks, sample.gt_masks)
            scores['coarse'] = 100 * F.mean(coarse)
    return GalleryItem(
        sample.sample_id,
        draw_prediction(prediction, ious),
        sample_words(sample),
        scores,
        '; '.join(f'dropped: {text} ({reason})' for text, reason in sample.dropped),
        group,
    )
