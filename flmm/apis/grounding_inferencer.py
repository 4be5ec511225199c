"""Ground the phrases of a text in any image: what tools, notebooks and the demo call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from flmm.datasets.collate import grounding_collate
from flmm.datasets.transforms import LoadImage, LoadMasks
from flmm.engine.checkpoint import load_trainable
from flmm.models.keyword_selectors import ChunkKeywords
from flmm.models.lmms.written_phrases import PhraseFinder
from flmm.models.systems.grounded_conversation import answer_sample, decode_answer
from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingPrediction, GroundingSample, SkippedSample
from flmm.utils.errors import FLMMError, ImageError
from flmm.utils.noun_phrases import parse_marked_text
from flmm.utils.safe_io import open_image, to_rgb

ImageInput = str | Path | Image.Image | np.ndarray


class GroundingInferencer:
    """A trained grounding system behind one call.

    Args:
        config: File of the experiment, or its ``Config``.
        checkpoint: What its training saved, or an official checkpoint; None keeps the heads
            untrained (to look at attention only).
        device: For example ``'cuda:0'``; None takes a GPU when there is one.

    Raises:
        CheckpointError: The checkpoint lacks trainable weights of this model.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str | None = None,
    ) -> None:
        self.config = config if isinstance(config, Config) else Config.fromfile(config)
        # Another runner in this process may have left its own scope as the default.
        init_default_scope('flmm')
        self.model = MODELS.build(self.config.model)
        if checkpoint is not None:
            load_trainable(self.model, checkpoint)
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.model.to(self.device).eval()
        self.pipeline = build_inference_pipeline(self.config)
        # Which words of an answer are grounded: the same part as in evaluation.
        self.keywords = MODELS.build(self.config.get('keywords') or dict(type=ChunkKeywords))
        self.keywords.to(self.device)

    def __call__(
        self,
        image: ImageInput,
        text: str | None = None,
        phrases: Sequence[tuple[int, int]] | None = None,
        max_new_tokens: int = 64,
    ) -> GroundingPrediction:
        """Ground a text in an image.

        Args:
            image: A file, a PIL image, or an array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``
                uint8. Photographs are turned as their EXIF orientation says.
            text: What to ground; square brackets mark phrases by hand. None: the LMM describes
                the image first, and its own words are grounded.
            phrases: ``(start, end)`` characters of each phrase in ``text``; None takes the marked
                ones, or else those that the config's ``keywords`` choose (noun chunks).
            max_new_tokens: Most tokens that the LMM writes.

        Returns:
            The prediction; ``sample.phrases`` are the words of its masks, ``text`` what was
            grounded.

        Raises:
            ImageError: The image cannot be read.
            FLMMError: The text has no phrase.
        """
        picture = _load(image)
        name = str(image) if isinstance(image, (str, Path)) else 'image'
        question = GroundingSample(name, image=picture)
        if text is None:
            return self._ground_own_words(question, max_new_tokens)
        if phrases is None:
            text, phrases = parse_marked_text(text)
            phrases = phrases or self.find_keywords(picture, text)
        if not phrases:
            raise _no_phrase(text)
        sample = self._prepare(answer_sample(question, text, phrases))
        batch = self.model.data_preprocessor(grounding_collate([sample]))
        prediction = self.model(**batch, mode='predict')[0]
        prediction.text = text
        return prediction

    def _ground_own_words(
        self, question: GroundingSample, max_new_tokens: int
    ) -> GroundingPrediction:
        """Let the LMM describe the image; masks come from where it looked while it wrote."""
        question = self._prepare(question)
        batch = self.model.data_preprocessor(grounding_collate([question]))
        # Brackets that the LMM happens to write are words, no marks.
        finder = PhraseFinder(self.processor.tokenizer, self.keywords.select_written)
        written = self.model.lmm.generate_with_features(batch['inputs'], finder, max_new_tokens)[0]
        if written.features is None:
            raise _no_phrase(finder.text)
        sample = answer_sample(batch['samples'][0], finder.text, finder.spans)
        sample = replace(sample, lmm_inputs=written.inputs)
        prediction = self.model.predict([written.inputs], [sample], [written.features])[0]
        prediction.text = finder.text
        return prediction

    def describe(self, image: ImageInput, max_new_tokens: int = 64) -> str:
        """Let the LMM answer the config's prompt about an image.

        Args:
            image: As in a call.
            max_new_tokens: Most tokens to write.
        """
        picture = _load(image)
        sample = self._prepare(GroundingSample('image', image=picture))
        batch = self.model.data_preprocessor({'inputs': [sample.lmm_inputs]})
        ids = self.model.lmm.generate(batch['inputs'], max_new_tokens)[0]
        return decode_answer(self.processor.tokenizer, ids)

    def answer(self, image: ImageInput, prompt: str) -> str:
        """Let the whole system answer a question, with all that its pipeline tells the LMM.

        For systems whose prediction has an answer, such as ``CoLLaVO``.

        Args:
            image: As in a call.
            prompt: The user's turn; ``<image>`` stands for the image.
        """
        sample = self._prepare(GroundingSample('image', image=_load(image), prompt=prompt))
        batch = self.model.data_preprocessor(grounding_collate([sample]))
        return self.model(**batch, mode='predict')[0].text

    def find_keywords(self, image: ImageInput, text: str) -> list[tuple[int, int]]:
        """The spans of a text that would be grounded, ``(start, end)`` in characters.

        Args:
            image: As in a call; a trained selector reads the text with it in view.
            text: An answer.
        """
        sample = self._prepare(GroundingSample('image', image=_load(image)))
        return self.keywords.select([text], [sample], self.model.lmm, self.processor)[0]

    @property
    def processor(self):
        """The processor half of the LMM."""
        for transform in self.pipeline:
            processor = getattr(transform, 'processor', None)
            if processor is not None:
                return processor
        raise FLMMError('The pipeline of the config has no PrepareLMMInputs.')

    def _prepare(self, sample: GroundingSample) -> GroundingSample:
        for transform in self.pipeline:
            sample = transform(sample)
            if isinstance(sample, SkippedSample):
                raise FLMMError(f'The image cannot be used ({sample.reason}): {sample.detail}')
        return sample


def build_inference_pipeline(config: Config) -> list:
    """Build the transforms of a config's first test task, without those of annotations.

    Args:
        config: A config with ``test_dataloader``.

    Raises:
        FLMMError: The config has no test dataset.
    """
    for loader in (config.get('test_dataloader') or {}).values():
        steps = [TRANSFORMS.build(step) for step in loader['dataset']['pipeline']]
        kept = [step for step in steps if not isinstance(step, (LoadImage, LoadMasks))]
        return [LoadImage(exif=True), *kept]
    raise FLMMError(
        'The config names no test task, whose pipeline prepares images and texts. Is it the config '
        'of a grounding experiment?'
    )


def _no_phrase(text: str) -> FLMMError:
    return FLMMError(
        f'No phrase to ground in {text!r}. Mark one with square brackets: '
        '"[a red circle] on the grass".'
    )


def _load(image: ImageInput) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if isinstance(image, np.ndarray):
        fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        if image.dtype != np.uint8 or not fits or not image.size:
            raise ImageError(
                'array', f'expected uint8 (H, W[, 3 or 4]), got {image.dtype} {image.shape}.'
            )
        return to_rgb(Image.fromarray(image))
    return open_image(image, exif=True)
