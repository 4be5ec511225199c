"""Batches of samples of about the same length, which waste little on padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from flmm.registry import DATA_SAMPLERS
from flmm.structures import GroundingSample

from ..base import GroundingDataset
from ..concat import ConcatGrounding
from ..image_safe import ImageSafe
from ..transforms.base import SKIPPING_ERRORS
from .base import SharedOrderSampler


def sample_lengths(dataset: Dataset) -> np.ndarray:
    """Length of each sample's text in characters, read from the annotations alone.

    No image is opened and nothing is tokenised: a batch is padded little if its texts are of about
    the same length in any unit.

    Args:
        dataset: A ``GroundingDataset``, several of them as one, or a dataset with an own method
            ``sample_lengths``.

    Returns:
        ``(N,)`` int64; 0 for samples that will be skipped.

    Raises:
        TypeError: It is none of these.
    """
    dataset = _unwrapped(dataset)
    own = getattr(dataset, 'sample_lengths', None)
    if own is not None:
        return np.asarray(own(), dtype=np.int64)
    if isinstance(dataset, ConcatGrounding):
        return np.concatenate([sample_lengths(part) for part in dataset.datasets])
    if isinstance(dataset, ImageSafe):
        return sample_lengths(dataset.dataset)[dataset.kept]
    if not isinstance(dataset, GroundingDataset):
        raise TypeError(
            f'{type(dataset).__name__} does not tell the lengths of its samples: it needs a '
            'method sample_lengths() that returns one number for each.'
        )
    return np.array([_text_length(dataset, index) for index in range(len(dataset))], np.int64)


def _unwrapped(dataset: Dataset) -> Dataset:
    """The dataset inside one that only adds seeding."""
    if isinstance(dataset, GroundingDataset):
        return dataset
    inner = getattr(dataset, 'dataset', None)
    return inner if isinstance(inner, Dataset) else dataset


def _text_length(dataset: GroundingDataset, index: int) -> int:
    try:
        sample = dataset.read_sample(index)
    except SKIPPING_ERRORS:
        return 0
    if not isinstance(sample, GroundingSample):
        return 0
    return len(sample.prompt or '') + sum(len(piece.text) for piece in sample.pieces)


@DATA_SAMPLERS.register_module()
class LengthGroupedSampler(SharedOrderSampler):
    """Shuffle, sort by length within large chunks, cut them into batches, shuffle the batches.

    Args:
        dataset: See :func:`sample_lengths`.
        batch_size: Of all processes together, so that a batch holds samples of one length.
        chunk: Batches that are sorted together: more group better and shuffle worse.
        lengths: One number per sample instead of those that :func:`sample_lengths` finds.
        seed: See :class:`SharedOrderSampler`.
        round_up: See there.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        chunk: int = 50,
        lengths: Sequence[int] | None = None,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        super().__init__(dataset, seed, round_up)
        if batch_size < 1 or chunk < 1:
            raise ValueError(f'batch_size and chunk must be positive, got {batch_size}, {chunk}.')
        self.batch_size, self.chunk = batch_size, chunk
        self.lengths = sample_lengths(dataset) if lengths is None else np.asarray(lengths)
        if len(self.lengths) != len(dataset):
            raise ValueError(f'{len(self.lengths)} lengths for {len(dataset)} samples.')

    def epoch_length(self) -> int:
        """All samples, once; see :class:`SharedOrderSampler`."""
        return len(self.lengths)

    def epoch_order(self, epoch: int) -> np.ndarray:
        """Batches of like lengths, in random order; see :class:`SharedOrderSampler`."""
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.lengths))
        step = self.batch_size * self.chunk
        batches = []
        for start in range(0, len(order), step):
            part = order[start : start + step]
            part = part[np.argsort(self.lengths[part], kind='stable')]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        # An incomplete batch stays last: elsewhere it would shift all that follow.
        last = batches.pop() if len(batches[-1]) < self.batch_size else None
        order = [batches[i] for i in generator.permutation(len(batches))]
        return np.concatenate(order if last is None else [*order, last])
