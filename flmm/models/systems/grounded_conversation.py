"""Grounded conversation: the LMM answers, and the things it names get masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from flmm.models.data_preprocessor import StructuresToDevice
from flmm.models.keyword_selectors import ChunkKeywords
from flmm.models.lmms.written_phrases import PhraseFinder
from flmm.registry import MODELS
from flmm.structures import (
    GroundingPrediction,
    GroundingSample,
    LMMInputs,
    Phrase,
    SkippedSample,
    TextPiece,
)
from flmm.utils.keywords import Span
from flmm.utils.text import split_by_spans


@MODELS.register_module()
class GroundedConversation(BaseModel):
    """Answer -> keywords -> masks, around any grounding system with an LMM.

    Its weights have the names of the system's, so that the system's checkpoints load. For
    evaluation and inference; train the system itself.

    Args:
        system: Config of the system (``FLMM``): has ``lmm`` and ``predict``.
        processor: Config of the LMM's processor, or one.
        keywords: Config of what chooses the words to ground (``ChunkKeywords`` by default,
            ``SelectorKeywords``), or one.
        max_new_tokens: Most tokens of an answer.
        data_preprocessor: Config of what moves batches to the device.
    """

    def __init__(
        self,
        system: dict,
        processor: dict | Callable[[GroundingSample], LMMInputs],
        keywords: dict | Any | None = None,
        max_new_tokens: int = 64,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type=StructuresToDevice))
        built = MODELS.build(system)
        for name, child in built.named_children():
            if name != 'data_preprocessor':
                self.add_module(name, child)
        for name, parameter in built.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        # In a list: as a module of its own it would give every weight a second name.
        self._system = [built]
        self.processor = MODELS.build(processor) if isinstance(processor, dict) else processor
        if isinstance(keywords, dict):
            keywords = MODELS.build(keywords)
        self.keywords = keywords or ChunkKeywords()
        self.max_new_tokens = max_new_tokens
        self.train(self.training)

    def train(self, mode: bool = True) -> GroundedConversation:
        """Switch the mode of the system, by its own rules."""
        super().train(mode)
        self._system[0].train(mode)
        return self

    def forward(
        self,
        inputs: Sequence[LMMInputs],
        samples: Sequence[GroundingSample],
        skipped: Sequence[SkippedSample] = (),
        mode: str = 'predict',
    ) -> list[GroundingPrediction]:
        """Answer and ground.

        Args:
            inputs: The prompts as the LMM reads them.
            samples: The samples, with prompt, image and ``refiner_pixels``, without text.
            skipped: Ignored here.
            mode: ``'predict'``.

        Raises:
            ValueError: Another mode: train the system itself.
        """
        if mode != 'predict':
            raise ValueError(
                f'GroundedConversation only predicts, got the mode {mode!r}; train its system.'
            )
        return self.predict(inputs, samples)

    @torch.no_grad()
    def predict(
        self, inputs: Sequence[LMMInputs], samples: Sequence[GroundingSample]
    ) -> list[GroundingPrediction]:
        """Answers with masks: ``text`` is the answer, ``sample.phrases`` what is grounded in it."""
        return [self._predict(one, sample) for one, sample in zip(inputs, samples, strict=True)]

    def _predict(self, inputs: LMMInputs, sample: GroundingSample) -> GroundingPrediction:
        """Words and masks come from the states of the LMM while it wrote: one pass."""
        finder = PhraseFinder(self.processor.tokenizer, self.keywords.select_written)
        (written,) = self.lmm.generate_with_features([inputs], finder, self.max_new_tokens)
        answered = answer_sample(sample, finder.text, finder.spans)
        answered.lmm_inputs = written.inputs
        features = None if written.features is None else [written.features]
        (prediction,) = self._system[0].predict([written.inputs], [answered], features)
        prediction.text = finder.text
        prediction.meta['spans'] = [list(span) for span in finder.spans]
        return prediction

    @torch.no_grad()
    def ground(
        self, texts: Sequence[str], samples: Sequence[GroundingSample]
    ) -> list[GroundingPrediction]:
        """Ground the keywords of answers that are already there.

        Args:
            texts: One answer for each sample.
            samples: With prompt, image and ``refiner_pixels``.

        Returns:
            One prediction for each; no mask where an answer names nothing.
        """
        spans = self.keywords.select(texts, samples, self.lmm, self.processor)
        answered = [
            answer_sample(sample, text, own)
            for sample, text, own in zip(samples, texts, spans, strict=True)
        ]
        device = next(self.lmm.parameters()).device
        inputs = [self.processor(sample).to(device) for sample in answered]
        predictions = self._system[0].predict(inputs, answered)
        for prediction, text, own in zip(predictions, texts, spans, strict=True):
            prediction.text = text
            prediction.meta['spans'] = [list(span) for span in own]
        return predictions


def decode_answer(tokenizer: Any, ids: Tensor) -> str:
    """Text of generated ids, special tokens left out."""
    return tokenizer.decode(ids, skip_special_tokens=True).strip()


def answer_sample(sample: GroundingSample, text: str, spans: Sequence[Span]) -> GroundingSample:
    """A sample whose text is an answer with phrases.

    Args:
        sample: The question: prompt, image.
        text: The answer.
        spans: ``(start, end)`` of each phrase in characters, not overlapping.

    Returns:
        A copy with the answer as jointly tokenised pieces, without ground truth.
    """
    return replace(
        sample,
        pieces=[TextPiece(piece, phrase) for piece, phrase in split_by_spans(text, spans)],
        phrases=[Phrase(text[start:end]) for start, end in spans],
        joint_tokens=True,
        gt_masks=None,
        lmm_inputs=None,
    )
