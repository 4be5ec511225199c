"""What scores may ask of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class AnswerJudge(Protocol):
    """What grades and reads open answers, such as :class:`flmm.apis.judge.Judge`."""

    def score(self, question: str, answer: str, truth: str) -> float:
        """How right an answer is, 0..1."""

    def choose(self, question: str, answer: str, options: Sequence[str]) -> int | None:
        """Index of the option that an answer means, None for none."""

    def extract(self, question: str, answer: str, form: str) -> str:
        """The final result in a long answer, ``''`` for none."""
