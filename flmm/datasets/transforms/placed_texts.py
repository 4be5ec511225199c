"""What a sample says of which places: one form for all kinds of annotation that PixelLLM reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from flmm.structures import GroundingSample
from flmm.utils.errors import AnnotationError

Box = tuple[float, float, float, float]
Span = tuple[int, int]


@dataclass(frozen=True)
class SpokenPhrase:
    """A phrase within a text.

    Attributes:
        index: In ``GroundingSample.phrases``.
        span: Its characters.
        box_xyxy: Where the pointer was, in original pixels; None without a trace.
    """

    index: int
    span: Span
    box_xyxy: Box | None = None


@dataclass(frozen=True)
class PlacedText:
    """A text about a place.

    Attributes:
        text: The words; empty where they are to be written.
        context: What is said before, such as a question.
        place_xyxy: The place in original pixels; None for the whole image.
        refers_to: Box that the text as a whole means.
        mask: ``(H, W)`` bool of what it means.
        phrases: Phrases that are to be located, in order.
    """

    text: str
    context: str = ''
    place_xyxy: Box | None = None
    refers_to: Box | None = None
    mask: np.ndarray | None = None
    phrases: tuple[SpokenPhrase, ...] = ()


def narrative(sample: GroundingSample) -> list[PlacedText]:
    """The whole text, about the whole image; phrases may have traces (``meta['box']``)."""
    height, width = sample.ori_shape
    phrases, text = [], ''
    for piece in sample.pieces:
        # As GroundingSample.text puts pieces together.
        glue = '' if sample.joint_tokens or not text or text[-1].isspace() else ' '
        start = len(text) + len(glue)
        text += glue + piece.text
        if piece.phrase < 0 or not piece.text:
            continue
        trace = sample.phrases[piece.phrase].meta.get('box')
        box = None if trace is None else tuple(np.multiply(trace, [width, height] * 2).tolist())
        phrases.append(SpokenPhrase(piece.phrase, (start, len(text)), box))
    return [PlacedText(text, phrases=tuple(phrases))]


def expressions(sample: GroundingSample) -> list[PlacedText]:
    """Each phrase by itself, about the whole image, meaning its box."""
    found = []
    for index, phrase in enumerate(sample.phrases):
        box = phrase.meta.get('box_xyxy')
        mask = None if sample.gt_masks is None else np.asarray(sample.gt_masks[index])
        spoken = SpokenPhrase(index, (0, len(phrase.text)))
        target = None if box is None else tuple(map(float, box))
        found.append(PlacedText(phrase.text, refers_to=target, mask=mask, phrases=(spoken,)))
    return found


def regions(sample: GroundingSample) -> list[PlacedText]:
    """Each region with its caption (``meta['caption']``)."""
    height, width = sample.ori_shape
    found = []
    for region in sample.regions:
        if region.box_xyxy is None:
            raise AnnotationError(sample.sample_id, 'a region has no box.')
        sides = np.array(region.box_xyxy, dtype=np.float64)
        box = tuple((sides * ([width, height] * 2 if region.relative else 1)).tolist())
        found.append(PlacedText(str(region.meta.get('caption', '')), place_xyxy=box))
    return found


def last_region(sample: GroundingSample) -> list[PlacedText]:
    """The last region alone, to be described (``RegionCaptionDataset(ask='one')``)."""
    return regions(sample)[-1:]


def caption(sample: GroundingSample) -> list[PlacedText]:
    """One of the captions of the whole image (``sample.meta['references']``), at random."""
    texts = sample.meta.get('references') or ()
    if not texts:
        raise AnnotationError(sample.sample_id, 'has no caption (meta["references"]).')
    return [PlacedText(texts[int(torch.randint(len(texts), ()))])]


def answers(sample: GroundingSample) -> list[PlacedText]:
    """Each answer of a conversation, with its question as context."""
    return [
        PlacedText(turn.answer, context=turn.request.replace('<image>', '').strip())
        for turn in sample.turns
        if turn.answer
    ]


#: Name -> how a sample's texts are found.
SOURCES: dict[str, Callable[[GroundingSample], list[PlacedText]]] = {
    'narrative': narrative,
    'expressions': expressions,
    'regions': regions,
    'last_region': last_region,
    'caption': caption,
    'answers': answers,
}
