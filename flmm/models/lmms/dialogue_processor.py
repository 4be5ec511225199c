"""Turns of a conversation -> token ids and labels, the image in front of the first request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from flmm.registry import MODELS
from flmm.structures import GroundingSample, ImageGrid, LMMInputs, Turn

from .image_processors import ImageProcessor, ImageTensors
from .processor import IGNORE_INDEX, build_tokenizer

_IMAGE = '{image}'


@dataclass(frozen=True)
class DialogueTemplate:
    """How an LMM wants a conversation written.

    Attributes:
        start: Before the first request; ``{image}`` stands for the visual tokens.
        start_without_image: The same where there is none.
        first: First request, as ``{request}``.
        later: Every other request.
        answer: An answer, as ``{answer}``, with the white space around it.
        ends: Special tokens after an answer: ``'eos'``, ``'bos'``.
    """

    start: str
    start_without_image: str
    first: str
    later: str
    answer: str
    ends: tuple[str, ...]


#: Name -> template. Facts of the releases; see docs/pink.md.
DIALOGUE_TEMPLATES = {
    'pink_llama2': DialogueTemplate(
        start='[INST] <<SYS>>\nImage: {image}\n<</SYS>>\n\n',
        start_without_image='[INST] <<SYS>>\nImage: N/A\n<</SYS>>\n\n',
        first='{request} [/INST]',
        later='[INST] {request} [/INST]',
        answer=' {answer} ',
        ends=('eos', 'bos'),
    ),
    'pink_llama1': DialogueTemplate(
        start='Image: {image}\n',
        start_without_image='Image: N/A\n',
        first='USER: {request}\nASSISTANT:',
        later='USER: {request}\nASSISTANT:',
        answer=' {answer}',
        ends=('eos',),
    ),
    # Stage 1: a caption follows its image, nobody asks for it.
    'pink_caption': DialogueTemplate(
        start='Image: {image}\n',
        start_without_image='Image: N/A\n',
        first='',
        later='',
        answer='{answer}',
        ends=('eos',),
    ),
    'llava': DialogueTemplate(
        start='USER: {image}\n',
        start_without_image='USER: ',
        first='{request} ASSISTANT:',
        later='USER: {request} ASSISTANT:',
        answer=' {answer}',
        ends=('eos',),
    ),
    # Every request stands as the first does: for training with turns that do not see each other.
    'llava_apart': DialogueTemplate(
        start='USER: {image}\n',
        start_without_image='USER: ',
        first='{request} ASSISTANT:',
        later='\n{request} ASSISTANT:',
        answer=' {answer}',
        ends=('eos',),
    ),
}


@MODELS.register_module()
class DialogueProcessor:
    """Make the LLM's sequence of ``sample.turns``.

    For training (``with_labels``) all turns are written and the loss covers the answers with the
    special tokens that end them; for generation the last answer is left away. Of special tokens
    written out in the texts only ``extra_tokens`` count (Pink's marks); the image's token or an
    end token that somebody types stays text.

    Args:
        tokenizer: See :func:`flmm.models.lmms.processor.build_tokenizer`; the fast kind.
        image_processor: Config of an ``ImageProcessor``, or one.
        template: Name in ``DIALOGUE_TEMPLATES``, or one.
        image_token: The tokenizer's token for the image; added if it lacks it.
        extra_tokens: Special tokens that texts may hold, added in this order if lacking.
        max_length: Longest sequence in tokens; the end is cut. None cuts nothing.
        with_labels: Write the answers and label them.

    Raises:
        ValueError: The tokenizer is not a fast one, or there is no such template.
    """

    def __init__(
        self,
        tokenizer: Any,
        image_processor: ImageProcessor | dict,
        template: str | DialogueTemplate = 'pink_llama2',
        image_token: str = '<im_patch>',
        extra_tokens: Sequence[str] = (),
        max_length: int | None = None,
        with_labels: bool = False,
    ) -> None:
        self.tokenizer = build_tokenizer(tokenizer)
        if not getattr(self.tokenizer, 'is_fast', False):
            raise ValueError(
                'DialogueProcessor needs a fast tokenizer (it gives character offsets), got '
                f'{type(self.tokenizer).__name__}.'
            )
        if isinstance(template, str):
            if template not in DIALOGUE_TEMPLATES:
                raise ValueError(
                    f'template must be one of {sorted(DIALOGUE_TEMPLATES)}, got {template!r}.'
                )
            template = DIALOGUE_TEMPLATES[template]
        if isinstance(image_processor, dict):
            image_processor = MODELS.build(image_processor)
        self.image_processor, self.template = image_processor, template
        self.max_length, self.with_labels = max_length, with_labels
        self.image_token = image_token
        self.image_token_id = self._add(image_token)
        self._extra = {token: self._add(token) for token in extra_tokens}
        names = '|'.join(re.escape(token) for token in self._extra)
        self._split = re.compile(f'({names})') if names else None

    def _add(self, token: str) -> int:
        if token not in self.tokenizer.get_vocab():
            from transformers import AddedToken

            added = [AddedToken(token, special=True, normalized=False)]
            self.tokenizer.add_tokens(added, special_tokens=True)
        return self.tokenizer.convert_tokens_to_ids(token)

    def __call__(self, sample: GroundingSample) -> LMMInputs:
        """Process one sample.

        Args:
            sample: With ``turns``, and ``image`` if it is about one.

        Returns:
            The LMM's inputs; no token belongs to a phrase.

        Raises:
            ValueError: There are no turns, or an answer to learn is missing.
        """
        if not sample.turns:
            raise ValueError(
                f'Sample {sample.sample_id} has no turns: is WriteTurns before PrepareDialogue?'
            )
        visual = None if sample.image is None else self.image_processor(sample.image)
        ids, labels, start = self._sequence(sample.turns, visual)
        input_ids = torch.tensor(ids)[: self.max_length]
        grids: tuple[ImageGrid, ...] = ()
        if visual is not None:
            places = visual.positions(start)
            grids = tuple(
                ImageGrid(cells, view.box_xyxy)
                for cells, view in zip(places, visual.grids, strict=True)
            )
        return LMMInputs(
            input_ids,
            torch.full_like(input_ids, -1),
            grids,
            image_shape=(0, 0) if visual is None else (sample.image.height, sample.image.width),
            resized_shape=None if visual is None else visual.geometry.content_shape,
            tensors={} if visual is None else visual.tensors,
            labels=torch.tensor(labels)[: self.max_length] if self.with_labels else None,
        )

    def decode(self, ids: torch.Tensor) -> str:
        """Text of generated ids, special tokens left out."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def _sequence(
        self, turns: Sequence[Turn], visual: ImageTensors | None
    ) -> tuple[list[int], list[int], int]:
        """Ids, labels, and where the image begins."""
        template, tokenizer = self.template, self.tokenizer
        ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        labels, start = [IGNORE_INDEX] * len(ids), 0
        text = template.start_without_image
        if visual is not None:
            before, text = template.start.split(_IMAGE)
            ids += self._encode(before)[0]
            start = len(ids)
            ids += [self.image_token_id] * len(visual.cells)
            labels += [IGNORE_INDEX] * (len(ids) - len(labels))
        for index, turn in enumerate(turns):
            form = template.later if index else template.first
            text += form.replace('{request}', turn.request)
            last = index == len(turns) - 1
            if last and not self.with_labels:
                ids += self._encode(text)[0]
                break
            if turn.answer is None:
                raise ValueError(f'turn {index} of {len(turns)} has no answer to learn')
            answer = template.answer.replace('{answer}', turn.answer)
            # White space before an answer is the answer's, as in the releases' labels.
            new, is_answer = self._encode(text + answer, len(text))
            ends = [self._end(name) for name in template.ends]
            ids += new + ends
            labels += [
                token if own and turn.supervised else IGNORE_INDEX
                for token, own in zip(new + ends, is_answer + [True] * len(ends), strict=True)
            ]
            text = ''
        return ids, labels, start

    def _end(self, name: str) -> int:
        return getattr(self.tokenizer, f'{name}_token_id')

    def _encode(self, text: str, answer_start: int | None = None) -> tuple[list[int], list[bool]]:
        """Ids of a text, and which end after a character."""
        ids: list[int] = []
        is_answer: list[bool] = []
        begin = 0
        for piece in self._split.split(text) if self._split else [text]:
            if piece in self._extra:
                ids.append(self._extra[piece])
                ends = [begin + len(piece)]
            elif piece:
                encoded = self.tokenizer(
                    piece,
                    add_special_tokens=False,
                    split_special_tokens=True,
                    return_offsets_mapping=True,
                )
                ids += encoded['input_ids']
                ends = [begin + end for _, end in encoded['offset_mapping']]
            else:
                continue
            is_answer += [answer_start is not None and end > answer_start for end in ends]
            begin += len(piece)
        return ids, is_answer
