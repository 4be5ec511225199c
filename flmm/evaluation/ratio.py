"""Scores that are one sum over another, so that they can be resampled without the masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ratio:
    """A score ``sum(numerator) / sum(denominator)``.

    A mean over phrases has ones as denominators; a mean over a subset has ones inside and zeros
    outside it (in the numerator too); cIoU has intersections over unions.

    Attributes:
        numerator: ``(P,)``, one value per phrase.
        denominator: ``(P,)``, at least 0.
        if_empty: The score where the denominators sum to 0.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    if_empty: float = float('nan')

    @classmethod
    def mean(cls, values: np.ndarray, chosen: np.ndarray | None = None) -> Ratio:
        """The mean of ``(P,)`` values, of those that are ``chosen`` (bool) if given."""
        values = np.asarray(values, dtype=np.float64)
        if chosen is None:
            return cls(values, np.ones(len(values)))
        return cls(np.where(chosen, values, 0.0), chosen.astype(np.float64))

    @property
    def value(self) -> float:
        """The score."""
        total = self.denominator.sum(dtype=np.float64)
        return float(self.numerator.sum(dtype=np.float64) / total) if total else self.if_empty

    @property
    def each(self) -> np.ndarray:
        """The score of every term alone, ``(P,)``; nan where its denominator is 0."""
        alone = np.full(len(self.denominator), np.nan)
        return np.divide(self.numerator, self.denominator, out=alone, where=self.denominator > 0)

    def group(self, groups: np.ndarray, num_groups: int) -> Ratio:
        """Sum numerators and denominators inside groups.

        Args:
            groups: ``(P,)`` index of each phrase's group, for instance its sample.
            num_groups: How many groups there are.

        Returns:
            The same score with ``(num_groups,)`` terms.
        """

        def sums(values: np.ndarray) -> np.ndarray:
            return np.bincount(groups, weights=values, minlength=num_groups)

        return Ratio(sums(self.numerator), sums(self.denominator), self.if_empty)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """The score when each term counts as often as its weight says.

        Args:
            weights: ``(B, P)``, a row per resample.

        Returns:
            ``(B,)`` scores.
        """
        numerators, totals = weights @ self.numerator, weights @ self.denominator
        values = np.full(len(weights), self.if_empty)
        return np.divide(numerators, totals, out=values, where=totals > 0)
