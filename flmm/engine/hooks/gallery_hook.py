"""Draws predictions of a test run while it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.evaluation import functional as F
from flmm.evaluation.metrics import MaskBoxes, RECMetric
from flmm.registry import HOOKS
from flmm.structures import GroundingPrediction
from flmm.utils.boxes import Box, box_iou
from flmm.visualization import GalleryItem, GalleryWriter, draw_prediction
from flmm.visualization.answers import Prediction
from flmm.visualization.samples import prediction_words

BoxReader = Callable[[Prediction], Sequence[Box | None]]


@HOOKS.register_module()
class GalleryHook(Hook):
    """Write PNG sheets (image, ground truth, what was predicted) and a page of them.

    Predicted are masks, coarse and final, or answers with the boxes that they name, as far as the
    task's metric reads some.

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
        outputs: Sequence[Prediction] | None = None,
    ) -> None:
        """Draw the batch, as far as the task has room."""
        task = getattr(runner.test_loop, 'task', '')
        if self.writer is None or self.seen[task] >= self.max_samples:
            return
        evaluator = getattr(runner.test_loop, 'evaluators', {}).get(task)
        reader = box_reader(evaluator.metrics) if evaluator is not None else None
        items = [prediction_item(prediction, task, reader) for prediction in outputs or ()]
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


def box_reader(metrics: Sequence[Any]) -> BoxReader | None:
    """What finds boxes in answers, if a task is scored by some; boxes around masks are none."""
    readers = [metric.reader for metric in metrics if isinstance(metric, RECMetric)]
    return next((reader for reader in readers if not isinstance(reader, MaskBoxes)), None)


def prediction_item(
    prediction: Prediction, group: str = '', reader: BoxReader | None = None
) -> GalleryItem:
    """The card of a prediction, with IoUs where there is ground truth.

    Args:
        prediction: Of any system. A sample without an image has no picture.
        group: See :class:`GalleryItem`.
        reader: Finds the boxes of the phrases in an answer.
    """
    sample = prediction.sample
    scores, ious, boxes = {}, None, None
    if isinstance(prediction, GroundingPrediction) and len(prediction.pred_masks):
        scores, ious = _mask_scores(prediction)
    if reader is not None and sample.phrases:
        boxes = reader(prediction)
        truth = [phrase.meta.get('box_xyxy') for phrase in sample.phrases]
        if all(truth):
            pairs = zip(boxes, truth, strict=True)
            found = [0.0 if box is None else box_iou(box, tuple(own)) for box, own in pairs]
            scores['IoU of boxes'] = 100 * F.mean(found)
    image = None
    if sample.image is not None:
        image = draw_prediction(prediction, ious, boxes=boxes)
    return GalleryItem(
        sample.sample_id,
        image,
        prediction_words(prediction),
        scores,
        '; '.join(f'dropped: {text} ({reason})' for text, reason in sample.dropped),
        group,
    )


def _mask_scores(prediction: GroundingPrediction) -> tuple[dict[str, float], Any]:
    """Mean IoUs in percent, and the final masks' own; nothing without ground truth."""
    truth = prediction.sample.gt_masks
    if truth is None or not len(truth):
        return {}, None
    ious = F.mask_iou(prediction.pred_masks, truth)
    scores = {'mean IoU': 100 * F.mean(ious)}
    if prediction.coarse_masks is not None:
        scores['coarse'] = 100 * F.mean(F.mask_iou(prediction.coarse_masks, truth))
    return scores, ious
