"""Data sets of texts of known lengths, without images."""

import pytest

from flmm.datasets import ConcatGrounding
from flmm.datasets.base import GroundingDataset
from flmm.structures import GroundingSample, SkippedSample, TextPiece
from flmm.utils.errors import AnnotationError


class Words(GroundingDataset):
    """Sample i has i letters, 3 is broken, 4 has nothing to ground; reading pixels would fail."""

    def __init__(self, name, count):
        super().__init__(name, [self._no_pixels])
        self.count = count

    @staticmethod
    def _no_pixels(_):
        raise AssertionError('an image was read')

    def __len__(self):
        return self.count

    def sample_id(self, index):
        return f'{self.name}/{index}'

    def read_sample(self, index):
        if index == 3:
            raise AnnotationError('file', 'broken')
        if index == 4:
            return SkippedSample(self.sample_id(index), 'no_phrase', '')
        name = self.sample_id(index)
        pieces = [TextPiece('x' * index)]
        return GroundingSample(name, image_path=f'{self.name}_{index}.jpg', pieces=pieces)


@pytest.fixture(scope='session')
def words():
    """``words('a', 10)`` is one data set of ten."""
    return Words


@pytest.fixture(scope='session')
def parts():
    """``parts(a=10, b=30)`` are two data sets as one."""

    def parts(**sizes):
        return ConcatGrounding([Words(name, size) for name, size in sizes.items()])

    return parts
