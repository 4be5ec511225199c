"""Several datasets as one."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flmm.registry import DATASETS
from flmm.utils.errors import InputFileError

from .base import GroundingDataset
from .transforms.base import Item, Transform


@DATASETS.register_module()
class ConcatGrounding(GroundingDataset):
    """One dataset after the other, behind one pipeline.

    Args:
        datasets: Configs of grounding datasets, or datasets. Each may have a pipeline of its
            own, which runs first.
        pipeline: Transforms for all of them, or their configs.
        name: Of the whole.
    """

    def __init__(
        self,
        datasets: Sequence[dict | GroundingDataset],
        pipeline: Iterable[dict | Transform] = (),
        name: str = 'concat',
    ) -> None:
        super().__init__(name, pipeline)
        if not datasets:
            raise ValueError('ConcatGrounding needs at least one dataset.')
        self.datasets = [DATASETS.build(d) if isinstance(d, dict) else d for d in datasets]
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) != len(names):
            raise ValueError(
                f'The datasets need different names, got {names}: sample ids begin with them.'
            )
        self._ends = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name, and what the parts say of themselves."""
        parts = [dataset.metainfo for dataset in self.datasets]
        return {'dataset': self.name, 'parts': parts}

    def __len__(self) -> int:
        """Number of samples of all."""
        return self._ends[-1]

    def part_ranges(self) -> dict[str, range]:
        """Name of each part -> where its samples lie."""
        starts = [0, *self._ends]
        return {
            dataset.name: range(start, end)
            for dataset, start, end in zip(self.datasets, starts, self._ends, strict=False)
        }

    def _locate(self, index: int) -> tuple[GroundingDataset, int]:
        part = bisect.bisect_right(self._ends, index)
        return self.datasets[part], index - (self._ends[part - 1] if part else 0)

    def sample_id(self, index: int) -> str:
        """The part's own id."""
        dataset, inner = self._locate(index)
        return dataset.sample_id(inner)

    def read_sample(self, index: int) -> Item:
        """Sample ``index``, through the part's own pipeline.

        Args:
            index: At least 0, less than the length.

        Returns:
            A sample or a ``SkippedSample``.
        """
        dataset, inner = self._locate(index)
        return dataset[inner]

    def problems(self, count: int | None = None) -> Iterator[InputFileError]:
        """What is wrong with the annotations of the parts.

        Args:
            count: Only the first samples; None for all.

        Yields:
            One error per problem.
        """
        left = len(self) if count is None else count
        for dataset in self.datasets:
            yield from dataset.problems(max(min(left, len(dataset)), 0))
            left -= len(dataset)

    def set_epoch(self, epoch: int) -> None:
        """Tell all parts which epoch begins.

        Args:
            epoch: Counted from 0.
        """
        for dataset in self.datasets:
            dataset.set_epoch(epoch)
