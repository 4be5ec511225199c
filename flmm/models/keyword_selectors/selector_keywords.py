"""Keywords by a trained head on the LMM's hidden states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flmm.models.lmms.base import BaseLMM
from flmm.models.lmms.written_phrases import TracedText
from flmm.registry import MODELS
from flmm.structures import GroundingSample, LMMInputs, TextPiece
from flmm.utils.errors import CheckpointError
from flmm.utils.keywords import Span, keep_objects
from flmm.utils.tensor_io import load_torch_file

from .token_selector import spans_of_tags


@MODELS.register_module()
class SelectorKeywords(nn.Module):
    """Let a :class:`TokenSelector` choose the spans of an answer.

    Args:
        selector: Config of the head.
        weights: What training the system ``KeywordSelection`` saved; None: untrained (tests).

    Raises:
        CheckpointError: The file lacks weights of the head.
    """

    def __init__(self, selector: dict[str, Any], weights: str | None = None) -> None:
        super().__init__()
        self.selector = MODELS.build(selector)
        if weights is not None:
            load_selector(self.selector, weights)
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def select(
        self,
        texts: Sequence[str],
        samples: Sequence[GroundingSample],
        lmm: BaseLMM,
        processor: Callable[[GroundingSample], LMMInputs],
    ) -> list[list[Span]]:
        """Spans to ground of each text.

        Args:
            texts: Answers.
            samples: For each the prompt and image it answers.
            lmm: The LMM that the head was trained on.
            processor: Its processor half.

        Returns:
            ``(start, end)`` in characters, in order, not overlapping; none for an empty text.
        """
        found: list[list[Span]] = []
        device = next(self.selector.parameters()).device
        for text, sample in zip(texts, samples, strict=True):
            if not text.strip():
                found.append([])
                continue
            # As one phrase, all tokens of the answer keep their hidden states.
            asked = replace(sample, pieces=[TextPiece(text, 0)], joint_tokens=True, lmm_inputs=None)
            hidden = answer_states(lmm, [processor(asked).to(device)])[0]
            encoded = processor.tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
            offsets = encoded['offset_mapping'][: len(hidden)]
            found.append(self._spans(text, offsets, hidden[: len(offsets)]))
        return found

    @torch.no_grad()
    def select_written(self, written: TracedText) -> list[Span]:
        """Spans to ground of an answer that the LMM has just written; it is not read again.

        Args:
            written: The answer, with the states that the LMM had while it wrote.

        Returns:
            ``(start, end)`` in characters, in order, not overlapping; none for an empty text.
        """
        if not written.text:
            return []
        device = next(self.selector.parameters()).device
        return self._spans(written.text, written.offsets, written.hidden.to(device))

    def _spans(self, text: str, offsets: Sequence[Span], hidden: Tensor) -> list[Span]:
        tags = self.selector(hidden).argmax(dim=-1).tolist()
        return keep_objects(text, spans_of_tags(tags, offsets, text))


def answer_states(lmm: BaseLMM, inputs: Sequence[LMMInputs]) -> list[Tensor]:
    """Hidden states ``(T, L, C)`` of the tokens of phrase 0 of each sample."""
    return [features.hidden[0] for features in lmm.phrase_features(inputs)]


def load_selector(selector: nn.Module, path: str | Path) -> None:
    """Load a head from a training state, or from a bare state dict.

    Args:
        selector: The head.
        path: The file.

    Raises:
        CheckpointError: A weight is missing or of another shape.
    """
    content = load_torch_file(path)
    state = content.get('state_dict', content) if isinstance(content, dict) else {}
    prefix = 'selector.'
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if isinstance(tensor, Tensor) and (name.startswith(prefix) or name in selector.state_dict())
    }
    wanted = selector.state_dict()
    bad = [n for n in wanted if n not in own or own[n].shape != wanted[n].shape]
    if bad:
        raise CheckpointError(
            path,
            f'lacks weights of the keyword selector, or has them in another shape: {bad[:3]}.',
            fix='Is it a checkpoint of the system KeywordSelection for this LMM?',
        )
    selector.load_state_dict({name: own[name] for name in wanted})
