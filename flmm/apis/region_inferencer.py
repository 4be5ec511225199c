"""Ask a trained GPT4RoI about regions of any image: what tools, notebooks and the demo call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from flmm.apis.region_dialogue import RegionDialogue
from flmm.datasets.transforms import LoadImage, LoadRegions
from flmm.engine.checkpoint import load_trainable
from flmm.models.systems import GPT4RoI
from flmm.registry import MODELS
from flmm.structures import GroundingSample, LMMInputs, Region, SkippedSample
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import open_image, to_rgb


class RegionInferencer:
    """A trained GPT4RoI behind a few calls.

    Args:
        config: File of the experiment, or its ``Config``.
        checkpoint: What its training saved; None leaves the extractor untrained.
        device: For example ``'cuda:0'``; None takes a GPU when there is one.

    Raises:
        FLMMError: The config is of another system.
        CheckpointError: The checkpoint lacks trainable weights of this model.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str | None = None,
    ) -> None:
        self.config = config if isinstance(config, Config) else Config.fromfile(config)
        init_default_scope('flmm')
        model = MODELS.build(self.config.model)
        if not isinstance(model, GPT4RoI) or model.processor is None:
            raise FLMMError(
                f'RegionInferencer needs a GPT4RoI with a processor, got {type(model).__name__}.'
            )
        self.model = model
        if checkpoint is not None:
            load_trainable(self.model, checkpoint)
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.model.to(self.device).eval()

    def dialogue(
        self, image: str | Path | Image.Image, regions: Sequence[Region | Sequence[float]] = ()
    ) -> RegionDialogue:
        """Begin to talk about an image.

        Args:
            image: A file (turned as its EXIF orientation says) or a PIL image.
            regions: Boxes ``(x0, y0, x1, y1)`` in pixels, or regions; named ``<region1>``, ...
        """
        picture = to_rgb(image) if isinstance(image, Image.Image) else open_image(image, exif=True)
        return RegionDialogue(picture, regions, sample_id=str(image))

    def ask(self, dialogue: RegionDialogue, question: str) -> str:
        """Ask one question; question and answer become part of the dialogue.

        Args:
            dialogue: The dialogue so far.
            question: With ``<regionN>`` where regions are meant.
        """
        return self.ask_batch([(dialogue, question)])[0]

    def ask_batch(self, asked: Sequence[tuple[RegionDialogue, str]]) -> list[str]:
        """Ask questions in several dialogues at once.

        Args:
            asked: Dialogues, each one once, with their questions.

        Returns:
            The answers.
        """
        inputs = [self._prepare(dialogue, question) for dialogue, question in asked]
        answers = self.model.write(inputs)
        for (dialogue, _), answer in zip(asked, answers, strict=True):
            dialogue.answered(answer)
        return answers

    def stream(self, dialogue: RegionDialogue, question: str) -> Iterator[str]:
        """Ask one question and show the answer while it is written.

        Args:
            dialogue: The dialogue so far.
            question: With ``<regionN>`` where regions are meant.

        Yields:
            The answer so far, longer each time; the last one is whole.
        """
        inputs, ids, answer = self._prepare(dialogue, question), [], ''
        lmm, template = self.model.lmm, self.model.processor.template
        with self.model.regions_in_place([inputs], padding='left'):
            for token in lmm.stream(inputs, self.model.max_new_tokens):
                ids.append(token)
                text = self.model.processor.tokenizer.decode(ids, skip_special_tokens=True)
                new = template.reply(text)
                if new != answer:
                    answer = new
                    yield answer
                if template.stop and template.stop in text:
                    break
        dialogue.answered(answer)

    def _prepare(self, dialogue: RegionDialogue, question: str) -> LMMInputs:
        item: GroundingSample | SkippedSample = dialogue.ask(question)
        for step in (LoadImage(), LoadRegions()):
            item = step(item)
        if isinstance(item, SkippedSample):
            dialogue.withdraw()
            raise FLMMError(item.detail)
        shapes = any(region.mask is not None or region.points for region in item.regions)
        if shapes and getattr(self.model.roi_extractor, 'shape_pooling', None) is None:
            dialogue.withdraw()
            raise FLMMError(
                'A region is a mask, points or a scribble, but this model was trained on boxes '
                'alone: give a box, or a model of a config with roi_extractor.shapes=True.'
            )
        return self.model.processor(item).to(self.device)
