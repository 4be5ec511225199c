"""What all grounding datasets share: skipping, the pipeline, records packed for many workers."""

from __future__ import annotations

import marshal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from flmm.registry import TRANSFORMS
from flmm.structures import GroundingSample, SkippedSample

from .transforms.base import SKIPPING_ERRORS, Item, Transform, skip_reason


def build_pipeline(pipeline: Iterable[dict | Transform]) -> list[Transform]:
    """Build transforms from their configs.

    Args:
        pipeline: Configs, or transforms, which are kept.

    Returns:
        The transforms in order.
    """
    return [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]


def run_pipeline(item: Item, pipeline: Iterable[Transform]) -> Item:
    """Apply transforms in order.

    Args:
        item: A sample or a skipped one.
        pipeline: The transforms.

    Returns:
        What the last one gave.
    """
    for step in pipeline:
        item = step(item)
    return item


class PackedRecords(Sequence):
    """Many plain records (dicts, lists, strings, numbers) in one buffer.

    A list of 130 000 dicts is copied page by page into every forked worker as reference counts
    change; one numpy buffer is shared.

    Args:
        records: Plain containers of any depth.
    """

    def __init__(self, records: Iterable[Any]) -> None:
        # marshal, several times faster than json, is meant for just this: data that never leave
        # the process that wrote them (workers are its copies).
        chunks = [marshal.dumps(record) for record in records]
        self._ends = np.cumsum([len(chunk) for chunk in chunks], dtype=np.int64)
        self._buffer = np.frombuffer(b''.join(chunks), dtype=np.uint8)

    def __len__(self) -> int:
        """Number of records."""
        return len(self._ends)

    def __getitem__(self, index: int) -> Any:
        """Record at ``index``, freshly decoded: changing it changes nothing here."""
        if not 0 <= index < len(self):
            raise IndexError(f'record {index} of {len(self)}')
        start = self._ends[index - 1] if index else 0
        return marshal.loads(self._buffer[start : self._ends[index]].tobytes())


class GroundingDataset(Dataset, ABC):
    """A list of images with texts whose phrases have masks.

    ``dataset[i]`` is a ``GroundingSample``, run through the pipeline, or a ``SkippedSample``
    where the annotation or image cannot be used; never another sample in its place.

    Args:
        name: Of the dataset, first part of every ``sample_id``.
        pipeline: Transforms, or their configs.
    """

    def __init__(self, name: str, pipeline: Iterable[dict | Transform] = ()) -> None:
        self.name = name
        self.pipeline = build_pipeline(pipeline)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name of the dataset and the options of its protocol, for result files."""
        return {'dataset': self.name}

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples, those that will be skipped included."""

    @abstractmethod
    def sample_id(self, index: int) -> str:
        """Identity of a sample, the same in every run."""

    @abstractmethod
    def read_sample(self, index: int) -> Item:
        """Sample as annotated, before the pipeline.

        Args:
            index: At least 0, less than the length.

        Returns:
            A new ``GroundingSample``, or a ``SkippedSample`` if it has nothing to ground.

        Raises:
            AnnotationError: The annotation cannot be used.
        """

    def __getitem__(self, index: int) -> Item:
        """Sample ``index`` through the pipeline."""
        if not -len(self) <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        index %= len(self)
        try:
            item: GroundingSample | SkippedSample = self.read_sample(index)
        except SKIPPING_ERRORS as error:
            item = SkippedSample(self.sample_id(index), skip_reason(error), str(error))
        return run_pipeline(item, self.pipeline)

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch begins; only datasets with random choices care.

        Args:
            epoch: Counted from 0.
        """
