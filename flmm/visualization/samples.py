"""Samples and predictions as sheets."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from flmm.structures import GroundingPrediction, GroundingSample
from flmm.utils.boxes import Box
from flmm.visualization.answers import Prediction, answer_lines, sample_lines
from flmm.visualization.crayon import draw_crayon
from flmm.visualization.overlays import Masks, label_words, overlay_masks, resize_for_display
from flmm.visualization.panels import Panel, Word, make_sheet
from flmm.visualization.regions import draw_boxes, draw_regions

PANEL_SIDE = 320


def sample_words(sample: GroundingSample) -> list[Word]:
    """The sample's text, each phrase in the colour of its mask; or what is asked and answered."""
    return [word for line in sample_lines(sample) for word in line]


def prediction_words(prediction: Prediction) -> list[Word]:
    """The sample's text as :func:`sample_words`; with the answers of a system that wrote some."""
    return [word for line in answer_lines(prediction) for word in line]


def sample_image(sample: GroundingSample) -> Image.Image:
    """The image of a sample.

    Raises:
        ValueError: It has none.
    """
    if sample.image is None:
        raise ValueError(
            f'Sample {sample.sample_id} holds no image. Does its pipeline contain LoadImage?'
        )
    return sample.image


def draw_sample(sample: GroundingSample, side: int = PANEL_SIDE) -> Image.Image:
    """Image and ground truth side by side, the text below with its phrases coloured.

    Args:
        sample: With image and, if it has ground truth, ``gt_masks``.
        side: Longer side of each picture in pixels.
    """
    panels = [*_given(sample, side), *_truth(sample, side)]
    captions = sample_lines(sample) or [label_words([phrase.text for phrase in sample.phrases])]
    return make_sheet(panels, captions)


def draw_prediction(
    prediction: Prediction,
    ious: Sequence[float] | None = None,
    side: int = PANEL_SIDE,
    boxes: Sequence[Box | None] | None = None,
) -> Image.Image:
    """Image, ground truth, and what a system made of it; the words below.

    Args:
        prediction: Its sample must hold the image. Of masks the coarse and the final ones are
            drawn; of a conversation what was written stands below.
        ious: IoU of each final mask, written beside its phrase.
        side: Longer side of each picture in pixels.
        boxes: Where the answer says that the phrases are.
    """
    sample = prediction.sample
    panels = [*_given(sample, side), *_truth(sample, side)]
    if isinstance(prediction, GroundingPrediction):
        stages = ('coarse', prediction.coarse_masks), ('final', prediction.pred_masks)
        # A system that only writes has masks of no phrase.
        drawn = [(name, masks) for name, masks in stages if masks is not None and len(masks)]
        panels += [_masks(name, sample, masks, side) for name, masks in drawn]
    if boxes is not None:
        panels.append(Panel('answer', draw_boxes(sample_image(sample), boxes, side)))
    labels = [phrase.text for phrase in sample.phrases]
    captions = answer_lines(prediction) or [label_words(labels)]
    if ious is not None:
        scored = [f'{label} {100 * value:.0f}' for label, value in zip(labels, ious, strict=True)]
        captions.append([Word('IoU:'), *label_words(scored)])
    return make_sheet(panels, captions)


def _given(sample: GroundingSample, side: int) -> list[Panel]:
    """What a system is given: the image, its crayon map, the regions that are pointed at."""
    panels = [_plain(sample, side), *_crayon(sample, side)]
    if sample.regions:
        drawn = draw_regions(sample_image(sample), sample.regions, side)
        panels.append(Panel('regions', drawn))
    return panels


def _truth(sample: GroundingSample, side: int) -> list[Panel]:
    """Annotated masks, or boxes where phrases have only those."""
    if sample.gt_masks is not None and len(sample.gt_masks):
        return [_masks('ground truth', sample, sample.gt_masks, side)]
    boxes = [phrase.meta.get('box_xyxy') for phrase in sample.phrases]
    if not any(boxes):
        return []
    return [Panel('ground truth', draw_boxes(sample_image(sample), boxes, side))]


def _plain(sample: GroundingSample, side: int) -> Panel:
    image = sample_image(sample)
    return Panel(f'image {image.width}x{image.height}', resize_for_display(image, side))


def _crayon(sample: GroundingSample, side: int) -> list[Panel]:
    if sample.panoptic is None:
        return []
    drawn = draw_crayon(sample_image(sample), sample.panoptic, side)
    return [Panel('crayon map', drawn)]


def _masks(title: str, sample: GroundingSample, masks: Masks, side: int) -> Panel:
    return Panel(title, overlay_masks(sample_image(sample), masks, longer_side=side))
