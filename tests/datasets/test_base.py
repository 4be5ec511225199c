import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.datasets.base import GroundingDataset, PackedRecords
from flmm.datasets.transforms import Transform
from flmm.structures import GroundingSample, SkippedSample
from flmm.utils.errors import AnnotationError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(values, max_size=5))
def test_packed_records_come_back_as_they_were(records):
    packed = PackedRecords(records)
    assert list(packed) == records
    assert list(pickle.loads(pickle.dumps(packed))) == records
    with pytest.raises(IndexError):
        packed[len(records)]


class Three(GroundingDataset):
    def __len__(self):
        return 3

    def sample_id(self, index):
        return f'{self.name}/{index}'

    def read_sample(self, index):
        if index == 1:
            raise AnnotationError('a.json', 'broken')
        return GroundingSample(self.sample_id(index))


class Mark(Transform):
    def transform(self, sample):
        sample.prompt += '!'
        return sample


def test_broken_annotations_are_skipped_in_place():
    dataset = Three('x', pipeline=[Mark(), Mark()])
    items = list(dataset)
    assert [item.sample_id for item in items] == ['x/0', 'x/1', 'x/2']
    assert isinstance(items[1], SkippedSample) and items[1].reason == 'annotation_invalid'
    assert items[0].prompt == '!!'
    assert dataset[-1].sample_id == 'x/2'
    with pytest.raises(IndexError):
        dataset[3]
