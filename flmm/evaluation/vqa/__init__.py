"""Scores of visual question answering benchmarks: answers are parsed, never evaluated."""

from .matching import MatchedAnswers, match_answers
from .scores import BENCHMARKS, JUDGED, is_right, score, why_nan

__all__ = [
    'BENCHMARKS',
    'JUDGED',
    'MatchedAnswers',
    'is_right',
    'match_answers',
    'score',
    'why_nan',
]
