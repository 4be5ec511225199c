"""Keywords by noun chunks of the text alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from flmm.models.lmms.base import BaseLMM
from flmm.models.lmms.written_phrases import TracedText
from flmm.registry import MODELS
from flmm.structures import GroundingSample, LMMInputs
from flmm.utils.keywords import Span, find_keywords, make_chunker


@MODELS.register_module()
class ChunkKeywords(nn.Module):
    """Noun chunks, minus pronouns, words about the image and nested chunks (F-LMM's paper).

    Args:
        method: ``'spacy'``, ``'rules'``, or ``'auto'``: spaCy where it is installed. See
            :func:`flmm.utils.keywords.make_chunker`.
    """

    def __init__(self, method: str = 'auto') -> None:
        super().__init__()
        self.chunker = make_chunker(method)

    def select(
        self,
        texts: Sequence[str],
        samples: Sequence[GroundingSample] = (),
        lmm: BaseLMM | None = None,
        processor: Callable[[GroundingSample], LMMInputs] | None = None,
    ) -> list[list[Span]]:
        """Spans to ground of each text; only the texts are read.

        Args:
            texts: Answers.
            samples: Unused.
            lmm: Unused.
            processor: Unused.

        Returns:
            ``(start, end)`` in characters, in order, not overlapping.
        """
        return [find_keywords(text, self.chunker) for text in texts]

    def select_written(self, written: TracedText) -> list[Span]:
        """Spans to ground of an answer that the LMM has just written; only its text is read.

        Args:
            written: The answer.

        Returns:
            ``(start, end)`` in characters, in order, not overlapping.
        """
        return find_keywords(written.text, self.chunker)
