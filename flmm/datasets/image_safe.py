"""Training data without the images of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from flmm.registry import DATASETS
from flmm.structures import GroundingSample
from flmm.utils.errors import AnnotationError

from .base import GroundingDataset, run_pipeline
from .transforms.base import SKIPPING_ERRORS, Item, Transform


@DATASETS.register_module()
class ImageSafe(GroundingDataset):
    """A data set without those samples whose image is in one of others.

    RefCOCO, RefCOCO+ and RefCOCOg cut the same images into different splits; who trains on all of
    them and tests on one has seen test images. Images are told apart by their file names.

    Args:
        dataset: Config of the data set, or one.
        avoid: Configs of the others, or data sets.
        pipeline: Transforms, or their configs; the inner data set's own runs first.
        name: Of the whole.

    Attributes:
        kept: Indices of the samples that are left, in the inner data set.

    Raises:
        AnnotationError: Nothing is left.
    """

    def __init__(
        self,
        dataset: dict | GroundingDataset,
        avoid: Sequence[dict | GroundingDataset],
        pipeline: Iterable[dict | Transform] = (),
        name: str = 'image_safe',
    ) -> None:
        super().__init__(name, pipeline)
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        seen: set[str] = set()
        for other in avoid:
            other = DATASETS.build(other) if isinstance(other, dict) else other
            seen.update(filter(None, (_image(other, index) for index in range(len(other)))))
        self.kept = [
            index for index in range(len(self.dataset)) if _image(self.dataset, index) not in seen
        ]
        if not self.kept:
            raise AnnotationError(
                self.dataset.name, 'has no image that the tests do not have.', fix='Swap them?'
            )

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name, how many samples were left out, and what the inner data set says of itself."""
        left_out = len(self.dataset) - len(self.kept)
        return {'dataset': self.name, 'left_out': left_out, 'parts': [self.dataset.metainfo]}

    def __len__(self) -> int:
        """Number of samples that are kept."""
        return len(self.kept)

    def sample_id(self, index: int) -> str:
        """The inner data set's own id."""
        return self.dataset.sample_id(self.kept[index])

    def set_epoch(self, epoch: int) -> None:
        """Tell the inner data set which epoch begins."""
        self.dataset.set_epoch(epoch)

    def read_sample(self, index: int) -> Item:
        """Sample ``index`` of those kept, through the inner data set's own pipeline."""
        item = self.dataset.read_sample(self.kept[index])
        return run_pipeline(item, self.dataset.pipeline)


def _image(dataset: GroundingDataset, index: int) -> str | None:
    """File name of a sample's image; None for broken records, which are counted elsewhere."""
    try:
        item = dataset.read_sample(index)
    except SKIPPING_ERRORS:
        return None
    if not isinstance(item, GroundingSample) or item.image_path is None:
        return None
    return os.path.basename(item.image_path)
