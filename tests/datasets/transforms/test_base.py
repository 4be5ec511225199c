import pytest

from flmm.datasets.transforms import Transform
from flmm.structures import GroundingSample, SkippedSample
from flmm.utils.errors import AnnotationError, ImageError, UnsafeFileError


class Failing(Transform):
    def __init__(self, error):
        self.error = error

    def transform(self, sample):
        raise self.error


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (ImageError('a.jpg', 'broken'), 'image_unreadable'),
        (AnnotationError('a.json', 'broken'), 'annotation_invalid'),
        (UnsafeFileError('a.json', 'broken'), 'annotation_invalid'),
    ],
)
def test_known_failures_skip_the_sample(error, reason):
    item = Failing(error)(GroundingSample('s'))
    assert item == SkippedSample('s', reason, str(error))


def test_mistakes_in_the_code_are_not_swallowed():
    with pytest.raises(KeyError):
        Failing(KeyError('x'))(GroundingSample('s'))
