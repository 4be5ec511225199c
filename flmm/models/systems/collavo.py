"""CoLLaVO on any LMM: a crayon prompt and dual LoRA around a frozen (or quantised) base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from flmm.models.adapters import DualLoRA, ImageTokens, ReleasedLoRA
from flmm.models.adapters.base import language_part
from flmm.models.data_preprocessor import StructuresToDevice
from flmm.models.lmms.answers import cut_answer
from flmm.models.lmms.batched_generation import fits_one_batch, write_batch
from flmm.models.lmms.processor import build_tokenizer
from flmm.models.lmms.turns_apart import turns_apart
from flmm.models.part_weights import load_some
from flmm.models.prompt_encoders import CrayonPrompt
from flmm.registry import MODELS
from flmm.structures import GroundingPrediction, GroundingSample, LMMInputs, SkippedSample

#: Tensors that the transform ``AddCrayonMap`` puts beside what the LMM reads.
CLASSES, INSTANCES = 'crayon_classes', 'crayon_instances'


@MODELS.register_module()
class CoLLaVO(BaseModel):
    """Crayon prompt -> every layer of a frozen LMM at its image tokens -> answers.

    arXiv 2402.11248. The LMM is never changed: the crayon prompt enters through the hooks of
    :class:`DualLoRA`. The released model (:mod:`flmm.models.lmms.collavo`) has LoRAs and prompt
    encoder inside; with ``adapters=dict(type=ReleasedLoRA)`` and no ``crayon`` those are trained.

    The paper trains in two steps: first the crayon prompt with its LoRA, then the image LoRA on
    instructions; ``train_image_lora`` and ``train_crayon`` choose. Which weights each step trains
    is our reading of the paper, no released code confirms it.

    Args:
        lmm: Config of an LMM over a transformers model.
        tokenizer: Its tokenizer: folder, hub id, config, or a tokenizer.
        crayon: Config of the prompt encoder; None leaves the prompt out (a control). Its
            ``out_channels`` are the LMM's hidden channels.
        adapters: Config of the dual LoRA.
        train_crayon: Train the prompt encoder and the crayon LoRA.
        train_image_lora: Train the image LoRA.
        weights_from: Weights from which this training starts (step 2 from step 1): anything that
            :mod:`flmm.engine.start_weights` reads, such as a work dir; read when training begins,
            not to evaluate.
        gradient_checkpointing: Recompute the LLM's layers in the backward to save memory.
        turns_apart: In training no turn sees another one (:mod:`flmm.models.lmms.turns_apart`): an
            earlier answer about the same object would tell it without a look at the image. Not
            with the released model, whose attention takes no mask of its own.
        max_new_tokens: Most tokens of an answer.
        stop: Marks before which an answer is cut.
        data_preprocessor: Config of what moves batches to the device.

    Raises:
        ValueError: The released model is given what only others can have.
    """

    def __init__(
        self,
        lmm: dict,
        tokenizer: Any,
        crayon: dict | None = None,
        adapters: dict | None = None,
        train_crayon: bool = True,
        train_image_lora: bool = True,
        weights_from: str | None = None,
        gradient_checkpointing: bool = False,
        turns_apart: bool = False,
        max_new_tokens: int = 128,
        stop: Sequence[str] = (),
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type=StructuresToDevice))
        self.lmm = MODELS.build(lmm)
        self.lmm.requires_grad_(False)
        self.crayon = None
        if crayon is not None:
            settings = dict(type=CrayonPrompt, out_channels=self.lmm.hidden_size) | dict(crayon)
            self.crayon = MODELS.build(settings)
            self.crayon.requires_grad_(train_crayon)
        self.adapters = MODELS.build(dict(type=DualLoRA) | dict(adapters or {}))
        self.adapters.attach(self.lmm.model)
        self.inside = isinstance(self.adapters, ReleasedLoRA)
        if self.inside and crayon is not None:
            raise ValueError('A released CoLLaVO has its own prompt encoder: leave crayon out.')
        if self.inside and turns_apart:
            raise ValueError('The attention of a released CoLLaVO cannot keep turns apart.')
        self.turns_apart = turns_apart
        self.adapters.image.requires_grad_(train_image_lora)
        # Without a prompt these never run; they must not wait for a gradient.
        prompted = self.inside or self.crayon is not None
        self.adapters.crayon.requires_grad_(train_crayon and prompted)
        self._recomputed: list[nn.Module] = []
        if gradient_checkpointing:
            options: dict[str, Any] = dict(use_reentrant=False)
            if not self.inside:
                options['context_fn'] = self.adapters.while_recomputing
            self.lmm.model.gradient_checkpointing_enable(options)
            self._recomputed = list(language_part(self.lmm.model))
        self.starts_from = weights_from
        self.tokenizer = build_tokenizer(tokenizer)
        self.max_new_tokens, self.stop = max_new_tokens, tuple(stop)
        self.train(self.training)

    def train(self, mode: bool = True) -> CoLLaVO:
        """Switch the mode of the trainable parts; the frozen LMM stays in eval mode."""
        super().train(mode)
        self.lmm.eval()
        self.adapters.train(mode)
        for layer in self._recomputed:
            # transformers recomputes layers in training mode only; what is in them stays in eval.
            layer.training = mode
        return self

    def init_weights(self) -> None:
        """Nothing: each part is ready when it is built, and packed 4-bit weights have no mean."""

    def take_weights(self, weights: Mapping[str, Tensor], path: str) -> list[str]:
        """Take what the step before has learned; the engine calls it before training.

        Args:
            weights: What ``weights_from`` holds.
            path: Where it was read, for errors.

        Returns:
            Names of what was taken.

        Raises:
            CheckpointError: None of them trains here, or they have other sizes.
        """
        trains = {name for name, p in self.named_parameters() if p.requires_grad}
        return load_some(self, weights, path, trains)

    def forward(
        self,
        inputs: Sequence[LMMInputs],
        samples: Sequence[GroundingSample],
        skipped: Sequence[SkippedSample] = (),
        mode: str = 'loss',
    ) -> dict[str, Tensor] | list[GroundingPrediction]:
        """Run in mmengine's modes.

        Args:
            inputs: What the LMM reads, with the crayon map of ``AddCrayonMap``; with labels for
                the loss.
            samples: The samples.
            skipped: Ignored here, counted by hook and metrics.
            mode: ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: Another mode.
        """
        if mode == 'loss':
            return self.loss(inputs)
        if mode == 'predict':
            return self.predict(inputs, samples)
        raise ValueError(f"CoLLaVO has the modes 'loss' and 'predict', got {mode!r}.")

    def loss(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Language loss of the answers.

        Every rank takes part in every gradient: a batch without image, or an empty one, adds
        zero times the parameters it does not use.
        """
        unused = sum(p.float().sum() for p in self.parameters() if p.requires_grad) * 0.0
        if not inputs:
            return {'loss_lm': unused}
        apart = turns_apart(self.lmm.model, inputs) if self.turns_apart else nullcontext()
        with self.adapters.active(self.image_tokens(inputs)), apart:
            losses = self.lmm(self._read(inputs))
        return {'loss_lm': losses['loss_lm'] + unused}

    @torch.no_grad()
    def predict(
        self, inputs: Sequence[LMMInputs], samples: Sequence[GroundingSample]
    ) -> list[GroundingPrediction]:
        """One answer for each sample, as ``text``; there are no masks."""
        together = fits_one_batch(self._read(inputs))
        groups = [list(inputs)] if together else [[one] for one in inputs]
        texts = []
        for group in groups:
            # Together they are padded in front, so that all end where the answers begin.
            with self.adapters.active(self.image_tokens(group, padding='left')):
                for ids in write_batch(self.lmm, self._read(group), self.max_new_tokens):
                    texts.append(cut_answer(self.tokenizer, ids, self.stop))
        return [
            GroundingPrediction(sample, _no_masks(sample), text=text)
            for sample, text in zip(samples, texts, strict=True)
        ]

    def _read(self, inputs: Sequence[LMMInputs]) -> Sequence[LMMInputs]:
        """What the LMM itself is given."""
        return inputs if self.inside else without_maps(inputs)

    def image_tokens(
        self, inputs: Sequence[LMMInputs], padding: str = 'right'
    ) -> ImageTokens | None:
        """Where the image tokens of a batch are, and the crayon prompt there.

        Args:
            inputs: The samples, in the order of the batch.
            padding: Side on which shorter samples are padded.

        Raises:
            ValueError: A sample with an image has no crayon map, or one of another size.
        """
        if self.inside:  # the LMM finds them itself
            return None
        device = next(self.adapters.parameters()).device
        shape = len(inputs), max(len(sample.input_ids) for sample in inputs)
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        classes = torch.zeros(shape, dtype=torch.int64, device=device)
        instances = torch.zeros_like(classes)
        for row, sample in enumerate(inputs):
            if not sample.grids:
                continue
            where = torch.cat([grid.positions.flatten() for grid in sample.grids]).to(device)
            if padding == 'left':
                where = where + shape[1] - len(sample.input_ids)
            mask[row, where] = True
            if self.crayon is None:
                continue
            for target, name in ((classes, CLASSES), (instances, INSTANCES)):
                target[row, where] = _of_cells(sample, name, len(where)).to(device)
        if self.crayon is None:
            return ImageTokens(mask)
        return ImageTokens(mask, self.crayon(classes[mask], instances[mask]))


def _no_masks(sample: GroundingSample) -> Tensor:
    return torch.zeros((0, *(sample.ori_shape or (0, 0))), dtype=torch.bool)


def _of_cells(sample: LMMInputs, name: str, count: int) -> Tensor:
    if name not in sample.tensors:
        raise ValueError(
            f'A sample with an image has no {name}: put LoadPanoptic before and AddCrayonMap '
            'behind PrepareLMMInputs in the pipeline.'
        )
    values = sample.tensors[name].flatten()
    if len(values) != count:
        raise ValueError(
            f'The crayon map has {len(values)} cells, the grids of the LMM have {count}.'
        )
    return values


def without_maps(inputs: Sequence[LMMInputs]) -> list[LMMInputs]:
    """The samples without crayon maps, which the LMM itself does not know.

    Args:
        inputs: With or without them.
    """
    return [
        replace(
            sample,
            tensors={k: v for k, v in sample.tensors.items() if k not in (CLASSES, INSTANCES)},
        )
        for sample in inputs
    ]
