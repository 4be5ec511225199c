"""What all grounding datasets share: skipping, the pipeline, records packed for many workers."""

from __future__ import annotations

import marshal
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from flmm.registry import TRANSFORMS
from flmm.structures import CocoMask, GroundingSample, PanopticMask, SkippedSample
from flmm.utils.errors import AnnotationError, ImageError, InputFileError
from flmm.utils.masks import check_segmentation

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

    @classmethod
    def also_reads(cls, config: Mapping[str, Any]) -> list[str]:
        """Annotation files, and folders of such, that are read although no config names them.

        Args:
            config: Of such a dataset.
        """
        return []

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples, those that will be skipped included."""

    @abstractmethod
    def sample_id(self, index: int) -> str:
        """Identity of a sample, the same in every run."""

    def part_ranges(self) -> dict[str, range]:
        """Where the samples of each part lie: of a single data set in one range, its own."""
        return {self.name: range(len(self))}

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

    def problems(self, count: int | None = None) -> Iterator[InputFileError]:
        """Find what is wrong with the annotations, entry by entry; no pixel is read.

        Every sample is read as annotated, its files must exist, and its masks must be well
        formed. Formats with ids add that those are known and unique.

        Args:
            count: Only the first samples; None for all.

        Yields:
            One error per problem, with file and entry.
        """
        for index in range(len(self) if count is None else min(count, len(self))):
            try:
                item = self.read_sample(index)
            except SKIPPING_ERRORS as error:
                yield error
                continue
            if isinstance(item, GroundingSample):
                yield from _sample_problems(item)
            elif item.reason in ('annotation_invalid', 'image_unreadable'):
                yield AnnotationError(item.sample_id, item.detail)

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch begins; only datasets with random choices care.

        Args:
            epoch: Counted from 0.
        """


def _sample_problems(sample: GroundingSample) -> Iterator[InputFileError]:
    if sample.image_path is not None and not os.path.isfile(sample.image_path):
        yield ImageError(sample.image_path, f'no such file; sample {sample.sample_id} needs it.')
    seen: set[str] = set()
    for index, phrase in enumerate(sample.phrases):
        key = f'{sample.sample_id}, phrase {index} ({phrase.text!r:.60})'
        if isinstance(phrase.mask, PanopticMask) and phrase.mask.path not in seen:
            seen.add(phrase.mask.path)
            if not os.path.isfile(phrase.mask.path):
                yield AnnotationError(phrase.mask.path, 'no such panoptic png.', key=key)
        elif isinstance(phrase.mask, CocoMask):
            for segmentation in phrase.mask.segmentations:
                try:
                    check_segmentation(segmentation)
                except ValueError as error:
                    where = sample.image_path or sample.sample_id
                    yield AnnotationError(where, f'has a mask that is malformed: {error}.', key=key)


def repeated_ids(
    path: str, place: str, id_key: str, records: Iterable[dict[str, Any]]
) -> list[AnnotationError]:
    """Find ids that stand for two different records of a file.

    Args:
        path: The file, for the message.
        place: Where in it the records are.
        id_key: Key of the id in a record.
        records: Dicts with that key.

    Returns:
        One error per such id; records that are equal do no harm and give none.
    """
    first: dict[Any, dict] = {}
    bad: dict[Any, AnnotationError] = {}
    for record in records:
        name = record[id_key]
        if first.setdefault(name, record) is not record and first[name] != record:
            bad[name] = AnnotationError(
                path,
                f'{id_key} {name!r} stands for two different entries, expected it to be unique.',
                key=place,
                fix='Which one is meant? The last one is used where broken data are skipped.',
            )
    return list(bad.values())
