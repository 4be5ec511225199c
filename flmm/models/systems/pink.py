"""Pink: boxes as text, adapters in language model and vision tower (arXiv 2310.00582)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from flmm.models.data_preprocessor import StructuresToDevice
from flmm.models.lmms.batched_generation import write_batch
from flmm.models.lmms.processor import build_tokenizer
from flmm.models.lmms.turns_apart import turns_apart
from flmm.registry import MODELS
from flmm.structures import ConversationPrediction, GroundingSample, LMMInputs, SkippedSample
from flmm.utils.errors import CheckpointError, FLMMError


@MODELS.register_module()
class Pink(BaseModel):
    """A frozen LMM with adapters that reads and writes coordinates as words.

    No head: what is asked is in the turns (:class:`flmm.datasets.transforms.WriteTurns`), what is
    answered is text. Which parts train is what is there: the projector, each set of adapters, the
    rows of new tokens; the LMM's own weights never do.

    Args:
        lmm: Config of the LMM.
        tokenizer: The processor's, to read what is written; see
            :func:`flmm.models.lmms.processor.build_tokenizer`.
        adapters: Name -> config of adapters (``BottleneckAdapters``, ``LoRAAdapters``).
        token_rows: Config of ``TokenRows`` for mark tokens; None where there are none.
        train_projector: Whether what stands between tower and language model trains.
        projector: Last part of its name in the LMM.
        projector_from: Weights with the projector of an earlier stage: anything that
            :mod:`flmm.engine.start_weights` reads, such as a work dir, or what a release saved;
            read when training begins, not to evaluate. None starts with a new one.
        max_new_tokens: Most tokens of an answer.
        autocast: Compute the loss in bfloat16 while the weights stay as they are (faster on CPUs
            with AMX or AVX512-BF16); an LMM in half precision always does.
        turns_apart: In training no turn sees another one (see :mod:`flmm.models.lmms.turns_apart`):
            many questions about one picture at the price of reading it once.
        data_preprocessor: Config of what moves batches to the device.

    Raises:
        FLMMError: The LMM has no part called ``projector``.
        ValueError: A projector is given that would not be saved, as it does not train.
    """

    def __init__(
        self,
        lmm: dict,
        tokenizer: Any,
        adapters: Mapping[str, dict] | None = None,
        token_rows: dict | None = None,
        train_projector: bool = True,
        projector: str = 'multi_modal_projector',
        projector_from: str | None = None,
        max_new_tokens: int = 64,
        autocast: bool = False,
        turns_apart: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type=StructuresToDevice))
        self.lmm = MODELS.build(lmm)
        self.lmm.requires_grad_(False)
        self.tokenizer = build_tokenizer(tokenizer)
        self.max_new_tokens, self.autocast = max_new_tokens, autocast
        self.turns_apart = turns_apart
        if projector_from is not None and not train_projector:
            raise ValueError(
                'projector_from is the start of a projector that trains. One that stays as it is '
                'belongs into the folder of the LMM: checkpoints do not hold it.'
            )
        self.projector, self.starts_from = projector, projector_from
        if train_projector:
            # In float32 whatever the frozen rest is: its updates are small.
            _find(self.lmm, projector).float().requires_grad_(True)
        self.token_rows = None
        if token_rows is not None:
            self.token_rows = MODELS.build(token_rows)
            self.token_rows.attach(self.lmm.model, self.tokenizer)
        self.adapters = nn.ModuleDict()
        for name, config in (adapters or {}).items():
            self.adapters[name] = MODELS.build(config)
            self.adapters[name].attach(self.lmm.model)

    def take_weights(self, weights: Mapping[str, Tensor], path: str) -> list[str]:
        """Take the projector of an earlier stage; the engine calls it before training.

        Args:
            weights: What ``projector_from`` holds.
            path: Where it was read, for errors.

        Returns:
            Names of what was taken, in the projector.

        Raises:
            CheckpointError: The projector is not there, or has another shape.
        """
        return load_projector(_find(self.lmm, self.projector), weights, path)

    def train(self, mode: bool = True) -> Pink:
        """Switch the adapters' dropout; the frozen LMM stays in eval mode."""
        super().train(mode)
        self.lmm.eval()
        for adapters in self.adapters.values():
            adapters.train(mode)
        return self

    def forward(
        self,
        inputs: Sequence[LMMInputs],
        samples: Sequence[GroundingSample],
        skipped: Sequence[SkippedSample] = (),
        mode: str = 'loss',
    ) -> dict[str, Tensor] | list[ConversationPrediction]:
        """Run in mmengine's modes.

        Args:
            inputs: What the LMM reads, one for each sample; with labels for the loss.
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
        raise ValueError(f"Pink has the modes 'loss' and 'predict', got {mode!r}.")

    def loss(self, inputs: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Language loss of the answers.

        Every rank takes part in every gradient: a batch without image, or an empty one, adds
        zero times the parameters it does not use.
        """
        unused = sum(p.float().sum() for p in self.parameters() if p.requires_grad) * 0.0
        if not inputs:
            return {'loss_lm': unused}
        apart = turns_apart(self.lmm.model, inputs) if self.turns_apart else nullcontext()
        with self._precision(self.autocast), apart:
            losses = self.lmm(inputs)
        return {'loss_lm': losses['loss_lm'] + unused}

    @torch.no_grad()
    def predict(
        self, inputs: Sequence[LMMInputs], samples: Sequence[GroundingSample]
    ) -> list[ConversationPrediction]:
        """Greedy answers to the last turn of each sample."""
        with self._precision():
            written = write_batch(self.lmm, inputs, self.max_new_tokens)
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in written]
        return [
            ConversationPrediction(sample, text)
            for sample, text in zip(samples, texts, strict=True)
        ]

    def merge_adapters(self) -> None:
        """Fold adapters and token rows into the LMM, which then computes the same alone.

        Raises:
            FLMMError: An adapter cannot be merged.
        """
        for adapters in self.adapters.values():
            adapters.merge()
        if self.token_rows is not None:
            self.token_rows.merge()
        self.adapters, self.token_rows = nn.ModuleDict(), None

    def _precision(self, autocast: bool = False) -> AbstractContextManager:
        dtype = next(self.lmm.decoder().parameters()).dtype
        half = dtype in (torch.bfloat16, torch.float16)
        if not half and not autocast:
            return nullcontext()
        return torch.autocast(self.lmm.device.type, dtype if half else torch.bfloat16)


def _find(model: nn.Module, name: str) -> nn.Module:
    for path, module in model.named_modules():
        if path.rpartition('.')[2] == name:
            return module
    raise FLMMError(
        f'{type(model).__name__} has no part called {name!r}; name what stands between vision '
        'tower and language model with Pink(projector=...).'
    )


def load_projector(projector: nn.Module, weights: Mapping[str, Tensor], path: str) -> list[str]:
    """Fill a projector from weights that may hold much else.

    Args:
        projector: What stands between vision tower and language model.
        weights: What flmm's training saved, or ``mm_projector.*`` as LLaVA's and Pink's releases
            have.
        path: Where they were read, for errors.

    Returns:
        Names in the projector.

    Raises:
        CheckpointError: It is not there, or of another shape.
    """
    found = {}
    for name, own in projector.state_dict().items():
        # Of a single linear layer the releases leave the layer's own name out.
        ends = (f'multi_modal_projector.{name}', f'mm_projector.{name.rpartition(".")[2]}')
        tensor = next((t for key, t in weights.items() if key.endswith(ends)), None)
        if tensor is None or tensor.shape != own.shape:
            got = 'none' if tensor is None else tuple(tensor.shape)
            raise CheckpointError(
                path,
                f'expected a projector weight of shape {tuple(own.shape)}, got {got}.',
                key=name,
                fix='Is it what stage 1 of this LMM saved?',
            )
        found[name] = tensor
    projector.load_state_dict(found)
    return sorted(found)
