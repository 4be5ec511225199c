"""The processor half for conversations: several turns, regions as tokens, labels on answers."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from flmm.registry import MODELS
from flmm.structures import REGION_PLACEHOLDER, GroundingSample, LMMInputs, RegionInputs, Turn
from flmm.utils.errors import AnnotationError

from .conversation_templates import (
    ANSWER,
    END,
    LAYOUT,
    ConversationTemplate,
    Segment,
    find_template,
)
from .processor import IGNORE_INDEX, IMAGE_PLACEHOLDER
from .region_geometry import region_frame


@MODELS.register_module()
class ConversationProcessor:
    """Make the LLM's sequence of a sample with ``turns`` and ``regions``.

    The conversation is written in its template and tokenised at once. The token of each
    ``<region>`` is where the system puts the region's vector; the k-th stands for
    ``sample.regions[k]``. The language loss covers the answers of supervised turns and the end
    mark after each, by their characters. Special tokens spelled out in a question or an answer
    are text, not control: a space is put into them.

    Args:
        processor: Config of an ``LMMProcessor`` or ``HFProcessor``, or one: tokenizer and image.
        template: Name in ``CONVERSATION_TEMPLATES``, a template, or its fields.
        region_token: Added to the tokenizer where it is missing.
        region_token_id: Id to put into ``input_ids`` for it; the embedding is never used, so any
            id will do where the language model has no row for a new one. None for the
            tokenizer's.
        image_format: What stands for the image, ``{image}`` being the processor's token
            (GPT4RoI: ``'<im_start>{image}<im_end>'``).
        max_length: Longest sequence in tokens; the end is cut, regions in it are noted as lost.
        labels: ``'answers'``; or ``'gpt4roi_release'``, whose mask drifts: it takes the lengths
            of turns tokenised one by one, and supervises whatever remains.
        mask_side: Rows and columns of the frame in which masks of regions are handed on.

    Raises:
        ValueError: An option is none of those named.
    """

    def __init__(
        self,
        processor: Any,
        template: str | ConversationTemplate | dict[str, Any] = 'vicuna',
        region_token: str = REGION_PLACEHOLDER,
        region_token_id: int | None = None,
        image_format: str = '{image}',
        max_length: int | None = None,
        labels: Literal['answers', 'gpt4roi_release'] = 'answers',
        mask_side: int = 64,
    ) -> None:
        self.processor = MODELS.build(processor) if isinstance(processor, dict) else processor
        self.tokenizer = self.processor.tokenizer
        self.template = find_template(template)
        if '{image}' not in image_format:
            raise ValueError(f"image_format must hold '{{image}}', got {image_format!r}.")
        if labels not in ('answers', 'gpt4roi_release'):
            raise ValueError(f"labels must be 'answers' or 'gpt4roi_release', got {labels!r}.")
        self.labels, self.mask_side = labels, mask_side
        self.max_length = max_length
        self.region_token = region_token
        if region_token not in self.tokenizer.get_vocab():
            from transformers import AddedToken

            added = AddedToken(region_token, special=True, normalized=False)
            self.tokenizer.add_tokens([added], special_tokens=True)
        self._region_id = self.tokenizer.convert_tokens_to_ids(region_token)
        self.region_token_id = self._region_id if region_token_id is None else region_token_id
        self.image_text = image_format.replace('{image}', self.processor.image_text)
        self._control = sorted(
            {*self.tokenizer.get_added_vocab(), *self.tokenizer.all_special_tokens},
            key=len,
            reverse=True,
        )

    def __call__(self, sample: GroundingSample) -> LMMInputs:
        """Process one sample.

        Args:
            sample: With ``turns``; with ``regions`` that have boxes where they are named
                (transform ``LoadRegions``); with ``image``, named once, where there is one.

        Returns:
            The LMM's inputs, ``regions`` included.

        Raises:
            AnnotationError: The turns name another number of regions than there are.
            ImageError: The image cannot be used.
        """
        sample = up_to_open_turn(sample)
        segments = self._segments(sample)
        text = ''.join(piece for piece, _ in segments)
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        plain, offsets = encoded['input_ids'], encoded['offset_mapping']
        ids, grids, tensors, resized_shape = self.processor.encode(sample, text)
        place = _places(plain, ids.tolist())
        if self.labels == 'answers':
            labels = self._answer_labels(sample, segments, plain, offsets, ids, place)
        else:
            labels = self._release_labels(sample, ids)
        positions = [place[i] for i, token in enumerate(plain) if token == self._region_id]
        self._check_regions(sample, positions)
        ids = ids.clone()
        ids[positions] = self.region_token_id
        regions = self._regions(sample, positions, grids)
        ids, labels = ids[: self.max_length], labels[: self.max_length]
        return LMMInputs(
            ids,
            torch.full_like(ids, -1),
            grids,
            image_shape=(0, 0)
            if sample.image is None
            else (sample.image.height, sample.image.width),
            resized_shape=resized_shape,
            tensors=_cut_types(tensors, self.max_length),
            labels=labels,
            regions=regions,
        )

    def reply(self, ids: Tensor) -> str:
        """Read what a model wrote.

        Args:
            ids: ``(n,)`` new token ids.

        Returns:
            The answer, without what belongs to the template.
        """
        text = self.tokenizer.decode(ids.tolist(), skip_special_tokens=True)
        return self.template.reply(text)

    def text_of(self, sample: GroundingSample) -> str:
        """The conversation as it is tokenised, the image not yet expanded."""
        return ''.join(piece for piece, _ in self._segments(up_to_open_turn(sample)))

    def _segments(self, sample: GroundingSample) -> list[Segment]:
        if not sample.turns:
            raise AnnotationError(sample.sample_id, 'has no turn to talk about.')
        turns = [
            Turn(
                self._render(turn.request),
                None if turn.answer is None else self._render(turn.answer),
                turn.supervised,
            )
            for turn in sample.turns
        ]
        front: list[Segment] = []
        if self.template.image_before and any(self.image_text in turn.request for turn in turns):
            front = [(self.template.image_before.replace('{image}', self.image_text), LAYOUT)]
            named = f'{self.image_text}\n'
            turns = [replace(turn, request=turn.request.replace(named, '', 1)) for turn in turns]
        return front + self.template.segments(turns, self.tokenizer.eos_token or '')

    def _render(self, text: str) -> str:
        """Placeholders become tokens; other control tokens become plain text."""
        marks = {IMAGE_PLACEHOLDER: self.image_text, REGION_PLACEHOLDER: self.region_token}
        parts = [text]
        for mark in marks:
            parts = [
                piece
                for part in parts
                for piece in ([part] if part in marks else _split_keeping(part, mark))
            ]
        return ''.join(marks.get(part, self._defuse(part)) for part in parts)

    def _defuse(self, text: str) -> str:
        for token in self._control:
            if token in text:
                text = text.replace(token, f'{token[:1]} {token[1:]}')
        return text

    @staticmethod
    def _answer_labels(
        sample: GroundingSample,
        segments: Sequence[Segment],
        plain: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        ids: Tensor,
        place: Sequence[int],
    ) -> Tensor:
        """Ids of the answers and of the end marks, ``IGNORE_INDEX`` elsewhere."""
        spans, position, turn = [], 0, -1
        for text, kind in segments:
            turn += kind == ANSWER
            if kind in (ANSWER, END) and sample.turns[turn].supervised:
                spans.append((position, position + len(text)))
            position += len(text)
        starts = [start for start, _ in spans]
        labels = torch.full_like(ids, IGNORE_INDEX)
        for index, (start, end) in enumerate(offsets):
            # A token's last character decides: the space before a word belongs to the layout.
            found = bisect.bisect_left(starts, end) - 1
            if end > start and found >= 0 and end <= spans[found][1]:
                labels[place[index]] = plain[index]
        return labels

    def _release_labels(self, sample: GroundingSample, ids: Tensor) -> Tensor:
        """GPT4RoI's mask (train.py, ``_mask_targets``), on our longer or shorter layout."""
        labels = ids.clone()
        segments = self._segments(sample)
        blocks, current = [], ''
        for text, kind in segments:
            if kind == LAYOUT and text in (self.template.before_request, self.template.closing):
                blocks.append(current)
                current = ''
            elif kind == LAYOUT and text == self.template.before_answer:
                blocks.append(current)
                current = ''
            current += text
        cells = int((ids == self.processor.image_token_id).sum())
        lengths = []
        for block in blocks:
            length = len(self.tokenizer(block)['input_ids'])
            lengths.append(length + (cells - 1 if self.image_text in block else 0))
        cursor = lengths[0]
        labels[:cursor] = IGNORE_INDEX
        for index, length in enumerate(lengths[1:]):
            if index % 2 == 0:
                labels[cursor + 2 : cursor + length] = IGNORE_INDEX
            cursor += length
        return labels

    def _check_regions(self, sample: GroundingSample, positions: Sequence[int]) -> None:
        if len(positions) != len(sample.regions):
            raise AnnotationError(
                sample.sample_id,
                f'its turns name {len(positions)} regions, but it has {len(sample.regions)}.',
                key='regions',
                fix=f'Every {REGION_PLACEHOLDER} of a turn stands for the next region.',
            )

    def _regions(
        self, sample: GroundingSample, positions: Sequence[int], grids: Sequence[Any]
    ) -> RegionInputs | None:
        if not sample.regions:
            return None
        if not grids:
            raise AnnotationError(sample.sample_id, 'has regions, but no image.')
        boxes, masks, is_mask = region_frame(sample, grids[0].box_xyxy, self.mask_side)
        kept = [i for i, place in enumerate(positions) if place < (self.max_length or place + 1)]
        sample.dropped += [  # the list is the caller's
            (f'region {i + 1}', 'truncated') for i in range(len(positions)) if i not in kept
        ]
        if not kept:
            return None
        return RegionInputs(
            torch.tensor([positions[i] for i in kept]),
            boxes[kept],
            None if masks is None else masks[kept],
            None if masks is None else is_mask[kept],
        )


def up_to_open_turn(sample: GroundingSample) -> GroundingSample:
    """A sample up to the first turn whose answer is to be written, with the regions it names.

    Args:
        sample: Whose regions come in the order of their placeholders.

    Returns:
        The sample itself where no further turn follows an open one.
    """
    opened = next((i for i, turn in enumerate(sample.turns) if turn.answer is None), None)
    if opened is None or opened == len(sample.turns) - 1:
        return sample
    turns = sample.turns[: opened + 1]
    texts = [text for turn in turns for text in (turn.request, turn.answer or '')]
    named = sum(text.count(REGION_PLACEHOLDER) for text in texts)
    return replace(sample, turns=turns, regions=sample.regions[:named])


def _split_keeping(text: str, mark: str) -> list[str]:
    """Cut at a mark and keep it."""
    first, *rest = text.split(mark)
    return [first, *(piece for part in rest for piece in (mark, part))]


def _cut_types(tensors: dict[str, Tensor], length: int | None) -> dict[str, Tensor]:
    """Cut what has one entry per token."""
    return {
        name: tensor[:, :length] if name.endswith('token_type_ids') else tensor
        for name, tensor in tensors.items()
    }


def _places(plain: Sequence[int], expanded: Sequence[int]) -> list[int]:
    """Where each token of a text stands once the image's token has become many.

    What comes before and after the image is the same in both; tokens of the image map to its
    beginning.
    """
    shortest = min(len(plain), len(expanded))
    before = 0
    while before < shortest and plain[before] == expanded[before]:
        before += 1
    after = 0
    while after < shortest - before and plain[-1 - after] == expanded[-1 - after]:
        after += 1
    grown = len(expanded) - len(plain)
    return [
        index if index < before else index + grown if index >= len(plain) - after else before
        for index in range(len(plain))
    ]
