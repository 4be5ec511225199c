"""Several data sets in shares of choice: Pink's ``name:repeat@name:repeat`` as a config."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from flmm.registry import DATASETS

from .base import GroundingDataset, run_pipeline
from .instruction import InstructionDataset
from .transforms.base import Item, Transform


def parse_mixture(text: str) -> dict[str, float]:
    """Read the release's notation.

    Args:
        text: For example ``'VisualGenome:6@LLaVA:6@Object365'``; no number means 1.

    Returns:
        Name -> weight, in order.

    Raises:
        ValueError: A name is empty or comes twice, or a weight is no positive number.
    """
    weights: dict[str, float] = {}
    for part in text.split('@'):
        name, colon, number = part.partition(':')
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            weight = math.nan
        if not name or name in weights or not (math.isfinite(weight) and weight > 0):
            raise ValueError(
                f'{part!r} in the mixture {text!r} is not "name" or "name:repeat" of a new name.'
            )
        weights[name] = weight
    return weights


@DATASETS.register_module()
class Mixture(GroundingDataset):
    """One data set after the other, each as often as its weight says.

    A weight of 6 repeats a set six times an epoch, each time with other draws; 0.25 takes a
    quarter of it, another one each epoch.

    Args:
        datasets: Name -> config of a data set, or one.
        weights: Name -> weight, or the release's notation; sets that are not named count once.
        pipeline: Transforms for all of them, or their configs.
        seed: Of which part a fractional weight takes.
        name: Of the whole.

    Raises:
        ValueError: A weight names no data set.
    """

    def __init__(
        self,
        datasets: Mapping[str, dict | GroundingDataset],
        weights: Mapping[str, float] | str | None = None,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'mixture',
    ) -> None:
        super().__init__(name, pipeline)
        weights = parse_mixture(weights) if isinstance(weights, str) else dict(weights or {})
        unknown = sorted(weights.keys() - datasets.keys())
        if unknown or not datasets:
            raise ValueError(f'weights name {unknown}; the data sets are {sorted(datasets)}.')
        self.parts: dict[str, GroundingDataset] = {
            key: DATASETS.build(part) if isinstance(part, dict) else part
            for key, part in datasets.items()
        }
        self.weights = {key: float(weights.get(key, 1.0)) for key in self.parts}
        self.seed = seed
        counts = [round(self.weights[key] * len(part)) for key, part in self.parts.items()]
        self._ends: Sequence[int] = list(itertools.accumulate(counts))
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name, weights, and what the parts say of themselves."""
        parts = [part.metainfo for part in self.parts.values()]
        return {'dataset': self.name, 'weights': self.weights, 'parts': parts}

    def set_epoch(self, epoch: int) -> None:
        """Tell all parts which epoch begins.

        Args:
            epoch: Counted from 0.
        """
        self._epoch.fill_(epoch)
        for part in self.parts.values():
            part.set_epoch(epoch)

    def __len__(self) -> int:
        """Samples of an epoch."""
        return self._ends[-1]

    def part_ranges(self) -> dict[str, range]:
        """Name of each part -> where its samples, with their repetitions, lie."""
        starts = [0, *self._ends]
        return {
            key: range(start, end)
            for key, start, end in zip(self.parts, starts, self._ends, strict=False)
        }

    def locate(self, index: int) -> tuple[str, int, int]:
        """Part, index in it, and how often that one came already this epoch."""
        number = next(i for i, end in enumerate(self._ends) if index < end)
        key = list(self.parts)[number]
        inner = index - (self._ends[number - 1] if number else 0)
        repetition, inner = divmod(inner, len(self.parts[key]))
        if repetition == int(self.weights[key]):  # the last, incomplete round: a drawn part
            inner = self._permuted(key, inner)
        return key, inner, repetition

    def _permuted(self, key: str, index: int) -> int:
        """Place of ``index`` in an order of the epoch: steps of a length prime to the count."""
        count = len(self.parts[key])
        rng = random.Random(f'{self.seed}/{int(self._epoch)}/{key}')
        start, step = rng.randrange(count), rng.randrange(1, count + 1)
        while math.gcd(step, count) != 1:
            step += 1
        return (start + index * step) % count

    def sample_id(self, index: int) -> str:
        """The part's own id, with the repetition behind ``#``."""
        key, inner, repetition = self.locate(index)
        own = self.parts[key].sample_id(inner)
        return f'{own}#{repetition}' if repetition else own

    def read_sample(self, index: int) -> Item:
        """Sample ``index``, through its part's own pipeline.

        Args:
            index: At least 0, less than the length.
        """
        key, inner, repetition = self.locate(index)
        part = self.parts[key]
        if isinstance(part, InstructionDataset):
            return run_pipeline(part.read_repetition(inner, repetition), part.pipeline)
        return part[inner]
