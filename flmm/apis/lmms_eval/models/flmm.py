"""The adapter: lmms-eval's requests -> an LMM of flmm, with or without its grounding heads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lmms_eval.api.model import lmms
from PIL import Image
from torch import nn
from tqdm import tqdm

from flmm.apis.config import load_config
from flmm.apis.grounding_inferencer import GroundingInferencer
from flmm.apis.lmms_eval.answers import GROUND, masks_as_text
from flmm.datasets.transforms import LoadPanoptic
from flmm.models.lmms.several_images import read_prompt
from flmm.models.systems import (
    FLMM,
    CoLLaVO,
    GroundedConversation,
    KeywordSelection,
    QuestionAnswering,
    WordLocation,
)
from flmm.models.systems.grounded_conversation import decode_answer
from flmm.utils.errors import FLMMError

#: Systems whose LMM answers alone; what they add to it finds places.
BESIDE_THE_LMM = (FLMM, GroundedConversation, KeywordSelection, WordLocation)
#: Systems that answer as a whole.
ANSWERING = (CoLLaVO, QuestionAnswering)


class FLMMModel(lmms):
    """An flmm system as lmms-eval's model ``flmm``.

    General tasks are answered by the frozen LMM of a grounding system, to show that grounding costs
    it nothing, and by a system that answers questions (``CoLLaVO``, ``QuestionAnswering``) as a
    whole: with its adapters and what its pipeline adds to a question. Tasks of flmm that ask for
    masks (``generation_kwargs: {flmm: ground}``) are for grounding systems.

    Args:
        config: Config file of the system.
        checkpoint: What its training saved; not needed for general tasks.
        device: For example ``'cuda:0'``; with several processes each takes its own GPU.
        batch_size: Accepted for lmms-eval; requests are answered one by one.
        max_new_tokens: Where a task names no length.

    Raises:
        FLMMError: An unknown argument, or a system that can neither.
    """

    is_simple = True

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        device: str | None = None,
        batch_size: int | str = 1,
        max_new_tokens: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if kwargs:
            raise FLMMError(f'The model flmm of lmms-eval has no arguments {sorted(kwargs)}.')
        self._world_size = int(os.environ.get('WORLD_SIZE', 1))
        self._rank = int(os.environ.get('RANK', 0))
        if self._world_size > 1:
            from accelerate import Accelerator

            # lmms-eval gathers results through it.
            self.accelerator = Accelerator()
            device = str(self.accelerator.device)
        self.inferencer = GroundingInferencer(load_config(config), checkpoint, device)
        check_system(self.inferencer.model)
        self.batch_size = int(batch_size)
        self.max_new_tokens = max_new_tokens

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests ``(context, generation_kwargs, doc_to_visual, doc_id, task, split)``."""
        answers = []
        for request in tqdm(requests, disable=self.rank != 0, desc='flmm'):
            context, options, doc_to_visual, doc_id, task, split = request.args
            images = _images(doc_to_visual(self.task_dict[task][split][doc_id]))
            if options.get(GROUND) == 'ground':
                answers.append(self._ground(context, images))
            else:
                answers.append(self._answer(context, images, options))
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not offered: flmm's LMMs write text."""
        raise NotImplementedError('flmm answers tasks of output_type generate_until only.')

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not offered."""
        raise NotImplementedError('flmm answers tasks of output_type generate_until only.')

    def _answer(self, context: str, images: list[Image.Image], options: dict) -> str:
        length = int(options.get('max_new_tokens', self.max_new_tokens))
        model, question = self.inferencer.model, context.replace('<image>', '').strip()
        if isinstance(model, ANSWERING) and len(images) == 1:
            model.max_new_tokens = length
            said = self.inferencer.answer(images[0], f'<image>\n{question}')
            return cut_at(said, options.get('until', ()))
        if any(isinstance(step, LoadPanoptic) for step in self.inferencer.pipeline):
            raise FLMMError(f'The crayon prompt tells of one image, the task shows {len(images)}.')
        # Images first, as lmms-eval's own models do; text between them keeps them apart.
        marks = ''.join(f'Image {i + 1}: <image>\n' for i in range(len(images)))
        marks = '<image>\n' if len(images) == 1 else marks
        processor, lmm = self.inferencer.processor, model.lmm
        inputs = read_prompt(processor, marks + question, images).to(self.inferencer.device)
        (ids,) = lmm.generate([inputs], length)
        return cut_at(decode_answer(processor.tokenizer, ids), options.get('until', ()))

    def _ground(self, context: str, images: list[Image.Image]) -> str:
        if isinstance(self.inferencer.model, ANSWERING):
            raise FLMMError('The task asks for masks; a system that answers questions has none.')
        if len(images) != 1:
            raise FLMMError(f'A grounding task shows one image, got {len(images)}.')
        return masks_as_text(self.inferencer(images[0], context).pred_masks)


def check_system(model: nn.Module) -> None:
    """Refuse a system that would be scored without a part of itself.

    Args:
        model: A built system.

    Raises:
        FLMMError: It is none of ``BESIDE_THE_LMM`` and ``ANSWERING``.
    """
    if not isinstance(model, (*BESIDE_THE_LMM, *ANSWERING)):
        known = ', '.join(kind.__name__ for kind in (*BESIDE_THE_LMM, *ANSWERING))
        raise FLMMError(
            f'lmms-eval cannot test {type(model).__name__}: it asks one question about whole '
            f'images, which {known} answer. tools/test.py runs the tasks of its config.'
        )


def _images(visuals: Any) -> list[Image.Image]:
    """PIL images of what a task shows; some tasks nest their lists."""
    flat = []
    for visual in visuals or ():
        flat += visual if isinstance(visual, (list, tuple)) else [visual]
    if not all(isinstance(visual, Image.Image) for visual in flat):
        raise FLMMError('flmm reads images only; the task shows video or audio.')
    return [visual.convert('RGB') for visual in flat]


def cut_at(text: str, until: str | Sequence[str]) -> str:
    """Cut a text before the first of some marks; empty marks do nothing."""
    for mark in [until] if isinstance(until, str) else until:
        text = text.split(mark)[0] if mark else text
    return text.strip()
