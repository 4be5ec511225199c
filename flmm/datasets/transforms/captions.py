"""An image and what is said of its places -> the tensors of a captioning system."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from flmm.registry import TRANSFORMS
from flmm.structures import CaptionInputs, CaptionTask, GroundingSample, SkippedSample
from flmm.utils.images import image_to_tensor
from flmm.utils.word_tokens import speaking_tokens, tokens_of_words

from .base import Item, Transform
from .placed_texts import SOURCES, Box, PlacedText


@TRANSFORMS.register_module()
class PrepareCaptions(Transform):
    """Fill ``lmm_inputs`` with :class:`CaptionInputs`: the only step that knows the text model.

    The image is shrunk or enlarged until its longer side fills the canvas, and in training, by a
    random factor, to more or less than that; what does not fit is cut off at random. Texts whose
    place is cut off by more than half are left out.

    Args:
        tokenizer: Folder, hub name, config or tokenizer (fast), see
            :func:`flmm.models.lmms.processor.build_tokenizer`.
        source: What the texts are, a key of :data:`SOURCES`.
        begin_id: Of the text model.
        end_id: Of the text model.
        pad_id: Of the text model.
        image_size: Side of the canvas.
        max_tokens: Longest text, begin and end included; the rest is cut.
        max_texts: Most texts of an image; of more, others are drawn each time.
        context: What is said before each text, with ``{text}`` for the text itself and
            ``{context}`` for the one it brings (a question); empty for nothing.
        max_context: Longest context.
        end_context: End the context with ``end_id``.
        scale_range: Random factors of the size, ``(1.0, 1.0)`` for none.
        task: See :class:`CaptionInputs`; ``'write'`` and ``'detect'`` hide the texts.
        centred: Put the image in the middle of the canvas, as LLaVA does; else at its top left.

    Raises:
        ValueError: An unknown source, or a scale that is not above 0.
    """

    def __init__(
        self,
        tokenizer: Any,
        source: str,
        begin_id: int = 101,
        end_id: int = 102,
        pad_id: int = 0,
        image_size: int = 384,
        max_tokens: int = 128,
        max_texts: int = 16,
        context: str = '',
        max_context: int = 32,
        end_context: bool = False,
        scale_range: tuple[float, float] = (1.0, 1.0),
        task: CaptionTask = 'read',
        centred: bool = False,
    ) -> None:
        if source not in SOURCES:
            raise ValueError(f'source must be one of {sorted(SOURCES)}, got {source!r}.')
        if not 0 < scale_range[0] <= scale_range[1]:
            raise ValueError(f'scale_range must be low, high above 0, got {scale_range}.')
        # Takes seconds to import.
        from flmm.models.lmms.processor import build_tokenizer

        self.tokenizer = build_tokenizer(tokenizer)
        self.source, self.task, self.context = source, task, context
        self.begin_id, self.end_id, self.pad_id = begin_id, end_id, pad_id
        self.image_size, self.max_tokens, self.max_texts = image_size, max_tokens, max_texts
        self.max_context, self.end_context = max_context, end_context
        self.scale_range, self.centred = tuple(scale_range), centred

    def transform(self, sample: GroundingSample) -> Item:
        """Fill ``lmm_inputs``.

        Args:
            sample: With ``image``, and with the annotation that the source reads.

        Returns:
            The sample, or a ``SkippedSample`` (``no_phrase``) if nothing is left to say.
        """
        canvas = _Canvas(sample.image, self.image_size, self.scale_range, self.centred)
        texts = SOURCES[self.source](sample)
        if self.task != 'detect':
            texts = [text for text in texts if canvas.shows(text.place_xyxy or text.refers_to)]
            texts = self._draw(texts)
        if not texts:
            return SkippedSample(
                sample.sample_id, 'no_phrase', 'nothing is said of it', tuple(sample.phrases)
            )
        hidden = self.task != 'read'
        rows = [self._encode('' if hidden else text.text) for text in texts]
        contexts = [self._encode_context(text) for text in texts]
        sample.lmm_inputs = CaptionInputs(
            pixels=canvas.pixels,
            content_shape=canvas.content_shape,
            scale=canvas.scale,
            offset=canvas.offset,
            origin=canvas.origin,
            tokens=_pad([ids for ids, _ in rows], self.pad_id),
            prompt_boxes=canvas.boxes([text.place_xyxy or canvas.whole for text in texts]),
            context=_pad(contexts, self.pad_id) if any(contexts) else None,
            gt_boxes=canvas.boxes([text.refers_to for text in texts]),
            gt_masks=canvas.masks([text.mask for text in texts]),
            detect=self.source == 'regions',
            task=self.task,
            pad_id=self.pad_id,
            **self._locations(sample, texts, rows, canvas),
        )
        return sample

    def _draw(self, texts: list[PlacedText]) -> list[PlacedText]:
        if len(texts) <= self.max_texts:
            return texts
        chosen = torch.randperm(len(texts))[: self.max_texts].sort().values
        return [texts[int(index)] for index in chosen]

    def _encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids from begin to end, and the characters of each token but those two."""
        encoded = self.tokenizer(
            text,
            add_special_tokens=False,
            # A text that spells a special token must not steer the model.
            split_special_tokens=True,
            return_offsets_mapping=True,
        )
        ids = encoded['input_ids'][: self.max_tokens - 2]
        return [self.begin_id, *ids, self.end_id], encoded['offset_mapping'][: len(ids)]

    def _encode_context(self, text: PlacedText) -> list[int]:
        values = {'{text}': text.text, '{context}': text.context}
        said = re.sub(r'\{(?:text|context)\}', lambda found: values[found[0]], self.context)
        if not said:
            return []
        encoded = self.tokenizer(said, add_special_tokens=False, split_special_tokens=True)
        ids = encoded['input_ids']
        if self.end_context:
            return [*ids[: self.max_context - 1], self.end_id]
        return ids[: self.max_context]

    def _locations(
        self,
        sample: GroundingSample,
        texts: Sequence[PlacedText],
        rows: Sequence[tuple[list[int], list[tuple[int, int]]]],
        canvas: _Canvas,
    ) -> dict[str, torch.Tensor]:
        """``gt_points`` and ``phrase_tokens``."""
        length = max(len(ids) for ids, _ in rows)
        points = torch.zeros(len(texts), length, 2, 2)
        speakers = torch.full((len(sample.phrases), 2), -1)
        traced = False
        for row, (text, (_, offsets)) in enumerate(zip(texts, rows, strict=True)):
            spans = [phrase.span for phrase in text.phrases]
            owners = tokens_of_words(offsets, spans, text.text)
            for phrase, tokens, last in zip(
                text.phrases, owners, speaking_tokens(owners), strict=True
            ):
                if last:
                    # The first token is the begin.
                    speakers[phrase.index] = torch.tensor([row, last[0] + 1])
                if phrase.box_xyxy is not None and tokens:
                    traced = True
                    corners = canvas.boxes([phrase.box_xyxy], keep_empty=True)[0]
                    # All zero would say "no trace".
                    points[row, [token + 1 for token in tokens]] = corners.view(2, 2).clamp(min=0.5)
        return {'gt_points': points if traced else None, 'phrase_tokens': speakers}


class _Canvas:
    """An image, resized, cut and padded to a square; boxes and masks follow it."""

    def __init__(
        self, image: Image.Image, side: int, scale_range: tuple[float, float], centred: bool
    ) -> None:
        low, high = scale_range
        factor = low + (high - low) * float(torch.rand(())) if high > low else low
        factor *= side / max(image.width, image.height)
        width, height = (max(round(factor * size), 1) for size in image.size)
        self.scale = (width / image.width, height / image.height)
        x, y = (
            int(torch.randint(size - side + 1, ())) if size > side else 0
            for size in (width, height)
        )
        self.content_shape = (min(height, side), min(width, side))
        self.side, self.whole = side, (0.0, 0.0, float(image.width), float(image.height))
        spare = (side - self.content_shape[1], side - self.content_shape[0])
        self.origin = (spare[0] // 2, spare[1] // 2) if centred else (0, 0)
        self.offset = (x - self.origin[0], y - self.origin[1])
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        cut = resized.crop((x, y, x + self.content_shape[1], y + self.content_shape[0]))
        self.pixels = torch.zeros(3, side, side, dtype=torch.uint8)
        self.pixels[(slice(None), *self._content)] = image_to_tensor(cut)

    @property
    def _content(self) -> tuple[slice, slice]:
        (left, top), (height, width) = self.origin, self.content_shape
        return slice(top, top + height), slice(left, left + width)

    def _move(self, box: Box) -> list[float]:
        return [box[k] * self.scale[k % 2] - self.offset[k % 2] for k in range(4)]

    def shows(self, box: Box | None) -> bool:
        """Whether at least half of a box is left (always for the whole image)."""
        if box is None:
            return True
        x0, y0, x1, y1 = self._move(box)
        rows, columns = self._content
        left = max(min(x1, columns.stop) - max(x0, columns.start), 0)
        left *= max(min(y1, rows.stop) - max(y0, rows.start), 0)
        return left >= 0.5 * (x1 - x0) * (y1 - y0) > 0 and math.isfinite(left)

    def boxes(
        self, boxes: Sequence[Box | None], *, keep_empty: bool = False
    ) -> torch.Tensor | None:
        """``(N, 4)`` on the canvas, cut to the image, 0 for None; None if all are None."""
        if not keep_empty and all(box is None for box in boxes):
            return None
        rows, columns = self._content
        moved = [[0.0] * 4 if box is None else self._move(box) for box in boxes]
        low = torch.tensor([columns.start, rows.start] * 2, dtype=torch.float32)
        high = torch.tensor([columns.stop, rows.stop] * 2, dtype=torch.float32)
        cut = torch.minimum(torch.tensor(moved, dtype=torch.float32).maximum(low), high)
        given = torch.tensor([box is not None for box in boxes])
        return cut * given[:, None]

    def masks(self, masks: Sequence[np.ndarray | None]) -> torch.Tensor | None:
        """``(N, S, S)`` bool on the canvas; None unless all are there."""
        if any(mask is None for mask in masks):
            return None
        height, width = self.content_shape
        out = torch.zeros(len(masks), self.side, self.side, dtype=torch.bool)
        cut = [self.offset[k] + self.origin[k] for k in range(2)]
        matrix = np.array([[self.scale[0], 0, -cut[0]], [0, self.scale[1], -cut[1]]])
        # Corners, not middles, of the first pixels coincide in the matrix above.
        matrix[:, 2] += [(self.scale[0] - 1) / 2, (self.scale[1] - 1) / 2]
        for row, mask in enumerate(masks):
            moved = cv2.warpAffine(
                mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR
            )
            out[(row, *self._content)] = torch.from_numpy(moved > 0.5)
        return out


def _pad(rows: Sequence[Sequence[int]], pad_id: int) -> torch.Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[pad_id] * (length - len(row))] for row in rows])
