"""What the samplers share: one order for all processes, which each takes its part of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler


class SharedOrderSampler(Sampler[int], ABC):
    """An order of indices that depends on seed and epoch only.

    Process r of w takes every w-th index from the r-th on, so that a global batch has the same
    samples on any number of processes. Going on in the middle of an epoch costs nothing but the
    order itself: no sample is read for it.

    Args:
        dataset: The training set.
        seed: Of the order; None lets the processes agree on one.
        round_up: Repeat the first indices so that all processes have equally many.
    """

    def __init__(self, dataset: Sized, seed: int | None = None, round_up: bool = True) -> None:
        self.dataset, self.round_up = dataset, round_up
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self._start = 0

    @abstractmethod
    def epoch_length(self) -> int:
        """Samples of an epoch, of all processes together."""

    @abstractmethod
    def epoch_order(self, epoch: int) -> np.ndarray:
        """Indices of an epoch, ``(epoch_length,)`` int64, for all processes.

        Args:
            epoch: Counted from 0.
        """

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch the next iteration is.

        Args:
            epoch: Counted from 0.
        """
        self.epoch = epoch

    def seek(self, samples: int) -> None:
        """Let the next iteration leave out the first samples of this process.

        Args:
            samples: How many, less than the length.
        """
        self._start = samples

    def __len__(self) -> int:
        """Samples of this process in an epoch."""
        total = self.epoch_length()
        if self.round_up:
            return -(-total // self.world_size)
        return (total - self.rank + self.world_size - 1) // self.world_size

    def __iter__(self) -> Iterator[int]:
        """Indices of this process, in order."""
        order = self.epoch_order(self.epoch)
        if self.round_up:
            order = np.resize(order, len(self) * self.world_size)
        start, self._start = self._start, 0
        return iter(order[self.rank :: self.world_size][start:].tolist())
