"""Samples and predictions as sheets."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from flmm.structures import GroundingPrediction, GroundingSample
from flmm.visualization.colours import phrase_colour
from flmm.visualization.crayon import draw_crayon
from flmm.visualization.overlays import Masks, label_words, overlay_masks, resize_for_display
from flmm.visualization.panels import Panel, Word, make_sheet
from flmm.visualization.regions import draw_regions, turn_words

PANEL_SIDE = 320


def sample_words(sample: GroundingSample) -> list[Word]:
    """The sample's text, each phrase in the colour of its mask; or its conversation."""
    if sample.turns:
        return turn_words(sample)
    return [
        Word(piece.text, None if piece.phrase < 0 else phrase_colour(piece.phrase))
        for piece in sample.pieces
        if piece.text.strip()
    ]


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
    panels = [_plain(sample, side), *_crayon(sample, side)]
    if sample.gt_masks is not None:
        panels.append(_masks('ground truth', sample, sample.gt_masks, side))
    if sample.regions:
        drawn = draw_regions(sample_image(sample), sample.regions, side)
        panels.append(Panel('regions', drawn))
    words = sample_words(sample) or label_words([phrase.text for phrase in sample.phrases])
    return make_sheet(panels, [words])


def draw_prediction(
    prediction: GroundingPrediction,
    ious: Sequence[float] | None = None,
    side: int = PANEL_SIDE,
) -> Image.Image:
    """Image, ground truth, coarse and final masks side by side, the words coloured.

    Args:
        prediction: Its sample must hold the image.
        ious: IoU of each final mask, written beside its phrase.
        side: Longer side of each picture in pixels.
    """
    sample = prediction.sample
    panels = [_plain(sample, side), *_crayon(sample, side)]
    stages = (
        ('ground truth', sample.gt_masks),
        ('coarse', prediction.coarse_masks),
        ('final', prediction.pred_masks),
    )
    panels += [_masks(name, sample, masks, side) for name, masks in stages if masks is not None]
    labels = [phrase.text for phrase in sample.phrases]
    captions = [sample_words(sample) or label_words(labels)]
    if ious is not None:
        scored = [f'{label} {100 * value:.0f}' for label, value in zip(labels, ious, strict=True)]
        captions.append([Word('IoU:'), *label_words(scored)])
    return make_sheet(panels, captions)


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
