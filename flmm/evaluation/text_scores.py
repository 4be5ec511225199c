"""Scores of short answers that need no judge."""

from __future__ import annotations

import string

_ARTICLES = frozenset(('a', 'an', 'the'))
_PUNCTUATION = str.maketrans('', '', string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces (as SQuAD and VQA do).

    An answer of articles alone keeps them: the choice "A" is not the same as no answer.
    """
    words = text.lower().translate(_PUNCTUATION).split()
    return ' '.join([word for word in words if word not in _ARTICLES] or words)


def exact_match(answer: str, truth: str) -> float:
    """1 if two answers are the same after :func:`normalise_answer`, else 0."""
    return float(normalise_answer(answer) == normalise_answer(truth))


def edit_distance(first: str, second: str) -> int:
    """Fewest insertions, deletions and replacements of characters (Levenshtein)."""
    if len(first) < len(second):
        first, second = second, first
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def anls(answer: str, truth: str, threshold: float = 0.5) -> float:
    """Normalised Levenshtein similarity (ANLS of DocVQA, of one answer).

    Args:
        answer: What was said; only its first 1000 characters count.
        truth: What is right.
        threshold: Below this similarity the score is 0.

    Returns:
        0..1; letter case and outer white space do not matter; two empty answers count 1.
    """
    a, b = answer.strip().lower()[:1000], truth.strip().lower()[:1000]
    longest = max(len(a), len(b))
    similarity = 1 - edit_distance(a, b) / longest if longest else 1.0
    return similarity if similarity >= threshold else 0.0
