"""One image with a text whose phrases are to be grounded, and what a dataset knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

    from .conversation import Region, Turn
    from .lmm_inputs import LMMInputs
    from .panoptic import PanopticMap


@dataclass(frozen=True)
class TextPiece:
    """A run of the text to be grounded.

    Attributes:
        text: The characters.
        phrase: Index of the phrase that the piece belongs to, -1 for none.
        separator: A mark between phrases that is one token, the last of its encoding (RefCOCO
            puts the token of "." after each expression, without SentencePiece's word start).
    """

    text: str
    phrase: int = -1
    separator: bool = False


@dataclass(frozen=True)
class PanopticMask:
    """A mask given as segments of a COCO panoptic PNG; several segments mean their union.

    Attributes:
        path: The RGB-coded png.
        segment_ids: Ids ``R + 256 G + 65536 B``.
    """

    path: str
    segment_ids: tuple[int, ...]


@dataclass(frozen=True)
class CocoMask:
    """A mask given as COCO segmentations; several mean their union.

    Attributes:
        segmentations: Each a list of polygons ``[x0, y0, x1, y1, ...]`` or an RLE dict, in
            pixels of the original image.
    """

    segmentations: tuple[Any, ...]


@dataclass
class Phrase:
    """One phrase of a text: the words that get one mask.

    Attributes:
        text: The words, for people and result files.
        mask: Where its ground truth lies; None at inference.
        plural: Whether it names several objects.
        isthing: Whether it is a thing (else stuff), as the protocol of its dataset says.
        meta: Ids of the annotation (``ref_id``, ``ann_id``, ``category_id``, ...).
    """

    text: str
    mask: PanopticMask | CocoMask | None = None
    plural: bool = False
    isthing: bool = True
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class GroundingSample:
    """What a dataset yields, transforms fill, and metrics read again.

    Attributes:
        sample_id: Unique within its dataset and the same in every run; metrics merge by it.
        image_path: File of the image; None when the image was given directly.
        image: RGB image, orientation as in the file (masks are drawn on it).
        ori_shape: ``(H, W)`` of the original image in pixels.
        prompt: The user's turn before the text, ``<image>`` standing for the image.
        pieces: The text to be grounded, in order.
        phrases: The phrases that pieces point to.
        joint_tokens: Tokenise all pieces at once and map phrases by character offsets (free
            text). False: every piece by itself, without special tokens, the ids concatenated
            (the way of F-LMM's release).
        gt_masks: ``(P, H, W)`` bool, original size; None at inference.
        lmm_inputs: What the LMM's processor made of image and text.
        refiner_pixels: ``(3, h, w)`` uint8, the image resized for the mask refiner.
        turns: A conversation about the image, instead of ``prompt`` and ``pieces``.
        regions: What the ``<region>`` placeholders of ``turns`` stand for, in their order.
        choice_inputs: Of each question with candidates, what the LMM reads for each of them.
        panoptic: What a panoptic segmenter or annotation says of the image; None without one.
        dropped: ``(phrase text, reason)`` of phrases that could not be used.
        meta: Anything else a metric or picture needs, plain containers only.
    """

    sample_id: str
    image_path: str | None = None
    image: Image.Image | None = None
    ori_shape: tuple[int, int] | None = None
    prompt: str = ''
    pieces: list[TextPiece] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    joint_tokens: bool = False
    gt_masks: np.ndarray | None = None
    lmm_inputs: LMMInputs | None = None
    refiner_pixels: torch.Tensor | None = None
    turns: list[Turn] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    choice_inputs: dict[str, list[LMMInputs]] = field(default_factory=dict)
    panoptic: PanopticMap | None = None
    dropped: list[tuple[str, str]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text as people read it: pieces joined, a space where neither side has one."""
        joined = ''
        for piece in self.pieces:
            glue = '' if self.joint_tokens or not joined or joined[-1].isspace() else ' '
            joined += glue + piece.text
        return joined


@dataclass(frozen=True)
class SkippedSample:
    """A sample that could not be used, in the place of the sample: counted, never replaced.

    Attributes:
        sample_id: Id of the sample.
        reason: One of a few fixed words, such as ``image_unreadable`` or ``no_phrase``.
        detail: The error in full, for the log.
        phrases: The phrases it would have had; at evaluation each counts as missed.
        references: The captions it would have been scored by; its own counts as empty.
    """

    sample_id: str
    reason: str
    detail: str = ''
    phrases: tuple[Phrase, ...] = ()
    references: tuple[str, ...] = ()
