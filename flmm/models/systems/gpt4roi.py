"""GPT4RoI: an LMM that is told of regions by tokens (arXiv 2307.03601)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from torch import Tensor

from flmm.models.data_preprocessor import StructuresToDevice
from flmm.models.lmms.batched_generation import fits_one_batch, write_batch
from flmm.models.lmms.hidden_images import hidden_images
from flmm.models.lmms.region_tokens import GPT4ROI_LEVELS
from flmm.models.roi_extractors.box_means import watched_box_means
from flmm.registry import MODELS
from flmm.structures import (
    ConversationPrediction,
    GroundingSample,
    LMMInputs,
    SkippedSample,
    Turn,
)
from flmm.utils.errors import CheckpointError

#: What of the LMM a stage trains.
TRAINS = ('regions', 'projector', 'language', 'vision')


@MODELS.register_module()
class GPT4RoI(BaseModel):
    """Vision tower levels -> one vector per region -> its token in the language model.

    Stage 1 of the release trains the region extractor alone, stage 2 all but the vision tower.

    Args:
        lmm: Config of the LMM.
        roi_extractor: Config of the extractor; ``in_channels`` and ``out_channels`` are filled in
            from the LMM.
        trains: What is trained: ``'regions'`` (the extractor), ``'projector'``, ``'language'``,
            ``'vision'``.
        levels: Which hidden states of the vision tower the extractor reads, as transformers
            counts them.
        view: Which tile shows the whole image, where an LMM cuts images into tiles.
        processor: Config of the processor, for what it knows of replies; None gives replies as
            they are decoded.
        max_new_tokens: Longest answer.
        regions_from: Weights with the region extractor that this training starts from (stage 2
            from stage 1): anything that :mod:`flmm.engine.start_weights` reads, such as a work dir;
            read when training begins, not to evaluate.
        region_vectors: ``'own'``; or ``'mean'``, every region's vector replaced by the mean that
            training kept of all: the control of an experiment.
        echo: Weight of :func:`echo_loss`, which draws each region's vector to the mean of the
            LMM's own visual tokens inside of its box, words that the language model can read
            already. Not in the release; small language models do not find them by themselves.
        blind: Share of the training samples whose visual tokens the language model does not see,
            so that it reads what regions show from their vectors rather than guess it from the
            picture. Not in the release.
        gradient_checkpointing: Recompute the LLM's layers in the backward to save memory.
        autocast: Compute the loss in bfloat16 while the weights stay as they are (faster on CPUs
            with AMX or AVX512-BF16).
        data_preprocessor: Config of what moves batches to the device.

    Raises:
        ValueError: ``trains`` names something else.
    """

    def __init__(
        self,
        lmm: dict[str, Any],
        roi_extractor: dict[str, Any],
        trains: Sequence[str] = ('regions',),
        levels: Sequence[int] = GPT4ROI_LEVELS,
        view: Literal['first', 'last'] = 'first',
        processor: dict[str, Any] | None = None,
        max_new_tokens: int = 64,
        regions_from: str | None = None,
        region_vectors: Literal['own', 'mean'] = 'own',
        echo: float = 0.0,
        blind: float = 0.0,
        gradient_checkpointing: bool = False,
        autocast: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type=StructuresToDevice))
        unknown = set(trains) - set(TRAINS)
        if unknown:
            raise ValueError(f'trains must be some of {TRAINS}, got {sorted(unknown)} as well.')
        if region_vectors not in ('own', 'mean'):
            raise ValueError(f"region_vectors must be 'own' or 'mean', got {region_vectors!r}.")
        self.levels, self.view, self.starts_from = tuple(levels), view, regions_from
        self.max_new_tokens, self.region_vectors = max_new_tokens, region_vectors
        self.autocast, self.echo, self.blind = autocast, echo, blind
        self.lmm = MODELS.build(lmm)
        self.roi_extractor = MODELS.build(
            dict(
                roi_extractor,
                in_channels=self.lmm.vision_channels,
                out_channels=self.lmm.hidden_size,
                num_levels=len(self.levels),
            )
        )
        self.lmm.set_trainable(part for part in trains if part != 'regions')
        self.roi_extractor.requires_grad_('regions' in trains)
        if gradient_checkpointing:
            self.lmm.enable_gradient_checkpointing()
        self.processor = MODELS.build(processor) if processor is not None else None
        self.register_buffer('mean_region', torch.zeros(self.lmm.hidden_size))

    def init_weights(self) -> None:
        """Nothing: each part is ready when it is built."""

    def take_weights(self, weights: Mapping[str, Tensor], path: str) -> list[str]:
        """Take the region extractor of an earlier stage; the engine calls it before training.

        Args:
            weights: What ``regions_from`` holds.
            path: Where it was read, for errors.

        Returns:
            Names of what was taken.

        Raises:
            CheckpointError: The extractor is not there, or has other sizes.
        """
        own = {
            name: value
            for name, value in weights.items()
            if name.startswith('roi_extractor.') or name == 'mean_region'
        }
        wanted = {name: value.shape for name, value in self.state_dict().items()}
        expected = {name for name in wanted if name.startswith('roi_extractor.')}
        bad = sorted(n for n in expected if n not in own or own[n].shape != wanted[n])
        if bad:
            raise CheckpointError(
                path,
                f'lacks {len(bad)} weights of the region extractor, or has other sizes: {bad[:3]}.',
                key='state_dict',
                fix='It should be the last checkpoint of stage 1 of the same config.',
            )
        self.load_state_dict(own, strict=False)
        return sorted(own)

    def forward(
        self,
        inputs: Sequence[LMMInputs],
        samples: Sequence[GroundingSample],
        skipped: Sequence[SkippedSample] = (),
        mode: str = 'loss',
    ) -> dict[str, Tensor] | list[ConversationPrediction]:
        """Run in mmengine's modes.

        Args:
            inputs: What the LMM reads, one for each sample; for the loss with labels.
            samples: The samples.
            skipped: Samples that could not be used; counted by hook and metrics.
            mode: ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: Another mode.
        """
        if mode == 'loss':
            return self.loss(inputs)
        if mode == 'predict':
            return self.predict(inputs, samples)
        raise ValueError(f"GPT4RoI has the modes 'loss' and 'predict', got {mode!r}.")

    def loss(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Language loss of the answers.

        Returns:
            ``{'loss_lm': scalar}``; zero that hangs on the parameters where nothing is supervised.
            With ``echo`` also ``'loss_echo'``, where a sample has regions.
        """
        # Every rank must take part in the backward, also one whose batch is empty, or names no
        # region, or none of some kind, or shows no image, so that the projector has no part.
        part = self.roi_extractor if any(sample.grids for sample in inputs) else self
        anchor = sum(p.float().sum() for p in part.parameters() if p.requires_grad) * 0.0
        if not inputs:
            return {'loss_lm': anchor}
        # Not autocast(enabled=False), which would switch off one around the system.
        precision = torch.autocast(self.lmm.device.type, torch.bfloat16)
        vectors: list[Tensor] = []
        with precision if self.autocast else nullcontext(), ExitStack() as watching:
            if self.echo:
                seen = watching.enter_context(watched_box_means(self.lmm.decoder(), inputs))
            if self.blind:
                hide = (torch.rand(len(inputs)) < self.blind).tolist()
                watching.enter_context(hidden_images(self.lmm.decoder(), inputs, hide))
            watching.enter_context(self.regions_in_place(inputs, kept=vectors))
            losses = dict(self.lmm(inputs))
        if self.echo and vectors:
            losses['loss_echo'] = self.echo * echo_loss(torch.cat(vectors), torch.cat(seen))
        return {name: value + anchor for name, value in losses.items()}

    @torch.no_grad()
    def predict(
        self, inputs: Sequence[LMMInputs], samples: Sequence[GroundingSample]
    ) -> list[ConversationPrediction]:
        """Answer the open turns of each sample; or take the likeliest of the candidates it offers.

        Where several turns are open, each is answered with the model's own earlier answers before
        it, all samples of the batch at once.
        """
        answers: list[list[str]] = [[] for _ in samples]
        open_turns = [_open_turns(sample) for sample in samples]
        while busy := [i for i, open_ in enumerate(open_turns) if len(answers[i]) < len(open_)]:
            prompts = [
                self._prompt(samples[i], answers[i]) if answers[i] else inputs[i] for i in busy
            ]
            for i, text in zip(busy, self.write(prompts), strict=True):
                answers[i].append(text)
        predictions = []
        for sample, texts in zip(samples, answers, strict=True):
            scores = {
                name: [self.answer_score(one) for one in candidates]
                for name, candidates in sample.choice_inputs.items()
            }
            choices = {
                name: max(range(len(own)), key=own.__getitem__) for name, own in scores.items()
            }
            predictions.append(
                ConversationPrediction(sample, texts[-1] if texts else '', texts, choices, scores)
            )
        return predictions

    def _prompt(self, sample: GroundingSample, answers: Sequence[str]) -> LMMInputs:
        """The conversation up to the next open turn, earlier ones answered."""
        if self.processor is None:
            raise ValueError('A dialogue of several open turns needs GPT4RoI(processor=...).')
        given = iter(answers)
        turns = [
            Turn(turn.request, next(given, None) if turn.answer is None else turn.answer)
            for turn in sample.turns
        ]
        return self.processor(replace(sample, turns=turns, dropped=[])).to(self.lmm.device)

    @torch.no_grad()
    def write(self, inputs: Sequence[LMMInputs]) -> list[str]:
        """Write answers greedily.

        Args:
            inputs: Conversations that end where the assistant speaks.
        """
        # One by one where write_batch does so: regions are placed in what is read together.
        written = []
        for group in [list(inputs)] if fits_one_batch(inputs) else [[one] for one in inputs]:
            with self.regions_in_place(group, padding='left'):
                written += write_batch(self.lmm, group, self.max_new_tokens)
        if self.processor is None:
            return [str(ids.tolist()) for ids in written]
        return [self.processor.reply(ids) for ids in written]

    @torch.no_grad()
    def answer_score(self, inputs: LMMInputs) -> float:
        """Mean log likelihood of the supervised tokens of a sample, given what precedes them."""
        inputs = inputs.to(self.lmm.device)
        with self.regions_in_place([inputs]):
            return -float(self.lmm([inputs])['loss_lm'])

    def regions_in_place(
        self,
        inputs: Sequence[LMMInputs],
        padding: str = 'right',
        kept: list[Tensor] | None = None,
    ) -> AbstractContextManager[None]:
        """Context in which the LMM reads these samples with their regions' vectors.

        Args:
            inputs: The samples.
            padding: Side on which the shorter ones are padded.
            kept: Takes the vectors of each sample, ``(R, C)``, when the LMM has read them.
        """

        def vectors(levels: list[Tensor]) -> list[Tensor]:
            dtype = next(self.roi_extractor.parameters()).dtype
            found = self.roi_extractor(
                [level.to(dtype) for level in levels], [sample.regions for sample in inputs]
            )
            self._note_mean(found)
            if kept is not None:
                kept.extend(found)
            if self.region_vectors == 'mean':
                found = [self.mean_region.to(own).expand_as(own) for own in found]
            return found

        return self.lmm.region_tokens(inputs, vectors, self.levels, self.view, padding)

    def _note_mean(self, found: Sequence[Tensor]) -> None:
        """Keep the mean vector over the regions of about the last hundred batches."""
        vectors = torch.cat([own.detach() for own in found])
        if self.training and len(vectors):
            weight = 0.01 if self.mean_region.any() else 1.0
            self.mean_region.lerp_(vectors.mean(0).to(self.mean_region), weight)


def echo_loss(vectors: Tensor, seen: Tensor) -> Tensor:
    """Squared distance of vectors to targets, both without their mean, as a share of the targets'.

    What all vectors have in common is free: it may become the mark by which the language model
    tells a region from the visual tokens that it resembles.

    Args:
        vectors: ``(R, C)``.
        seen: ``(R, C)``.

    Returns:
        Scalar; 1 for vectors that are all alike, 0 for a single one.
    """
    seen = seen - seen.mean(0)
    vectors = vectors.float() - vectors.float().mean(0)
    return (vectors - seen).square().sum() / seen.square().sum().clamp_min(1e-6)


def _open_turns(sample: GroundingSample) -> list[Turn]:
    """Turns whose answer is to be written; a sample with candidates is asked to choose instead."""
    return [turn for turn in sample.turns if turn.answer is None and not sample.choice_inputs]
