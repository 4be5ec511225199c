"""Mixing datasets in other proportions than their sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flmm.registry import DATA_SAMPLERS

from ..concat import ConcatGrounding
from .base import SharedOrderSampler


@DATA_SAMPLERS.register_module()
class WeightedSampler(SharedOrderSampler):
    """Draw from each part of a :class:`ConcatGrounding` in given proportions.

    Every sample of a part comes once before any comes twice, over the ends of epochs. With all
    weights equal to the parts' sizes this is plain shuffling, which is how F-LMM mixes PNG with
    RefCOCO, RefCOCO+ and RefCOCOg (``DefaultSampler(shuffle=True)``).

    Args:
        dataset: The parts, together.
        weights: Of each part by its name; the share of a part is its weight over the sum. Parts
            that are not named get ``default``.
        default: Weight of other parts; None takes their number of samples.
        length: Samples of an epoch; None for as many as the parts have together.
        seed: See :class:`SharedOrderSampler`.
        round_up: See there.
        run: So many samples in a row come from one part. With the batch size (of all processes)
            every batch is of one part, and nothing is padded to another part's length; an epoch
            is cut to whole runs.

    Raises:
        ValueError: A name that no part has, a negative weight, none above zero, or runs longer
            than an epoch.
    """

    def __init__(
        self,
        dataset: ConcatGrounding,
        weights: Mapping[str, float],
        default: float | None = None,
        length: int | None = None,
        seed: int | None = None,
        round_up: bool = True,
        run: int = 1,
    ) -> None:
        super().__init__(dataset, seed, round_up)
        names = [part.name for part in dataset.datasets]
        unknown = sorted(set(weights) - set(names))
        if unknown:
            raise ValueError(f'No part is called {", ".join(unknown)}; there are {names}.')
        self.sizes = [len(part) for part in dataset.datasets]
        values = [
            float(weights.get(name, size if default is None else default)) if size else 0.0
            for name, size in zip(names, self.sizes, strict=True)
        ]
        if min(values) < 0 or not sum(values) > 0:
            raise ValueError(f'Weights must be at least 0 and one above it, got {dict(weights)}.')
        length = sum(self.sizes) if length is None else length
        if not 1 <= run <= length:
            raise ValueError(f'run must be 1 to {length} (the length of an epoch), got {run}.')
        self.run = run
        self.quotas = [run * quota for quota in _quotas(values, length // run)]
        self._length = sum(self.quotas)

    def epoch_length(self) -> int:
        """Samples of an epoch; see :class:`SharedOrderSampler`."""
        return self._length

    def epoch_order(self, epoch: int) -> np.ndarray:
        """The quota of each part, mixed; see :class:`SharedOrderSampler`."""
        chosen, start = [], 0
        for part, (size, quota) in enumerate(zip(self.sizes, self.quotas, strict=True)):
            chosen.append(start + self._stream(part, size, epoch * quota, quota))
            start += size
        order = np.concatenate(chosen).reshape(-1, self.run)
        np.random.default_rng((self.seed, epoch, len(self.sizes))).shuffle(order)
        return order.flatten()

    def _stream(self, part: int, size: int, begin: int, count: int) -> np.ndarray:
        """Places ``begin`` to ``begin + count`` of endless shuffled passes over a part."""
        if not count:
            return np.zeros(0, np.int64)
        passes = range(begin // size, (begin + count - 1) // size + 1)
        shuffled = [
            np.random.default_rng((self.seed, number, part, 1)).permutation(size)
            for number in passes
        ]
        offset = begin - passes[0] * size
        return np.concatenate(shuffled)[offset : offset + count]


def _quotas(weights: list[float], length: int) -> list[int]:
    """Whole numbers in proportion to the weights whose sum is ``length`` (largest remainders)."""
    exact = np.asarray(weights) / sum(weights) * length
    quotas = np.floor(exact).astype(int)
    for index in np.argsort(quotas - exact, kind='stable')[: length - quotas.sum()]:
        quotas[index] += 1
    return quotas.tolist()
