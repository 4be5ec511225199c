import pickle

import pytest

from flmm.utils.errors import (
    AnnotationError,
    CheckpointError,
    FLMMError,
    ImageError,
    InputFileError,
    UnsafeFileError,
)

KINDS = [InputFileError, AnnotationError, ImageError, UnsafeFileError, CheckpointError]


@pytest.mark.parametrize('kind', KINDS)
def test_errors_name_file_key_problem_and_fix(kind):
    error = kind('a.json', 'expected a list, got int.', key='[3].segments', fix='Is it PNG?')
    assert str(error) == 'a.json at [3].segments: expected a list, got int. Is it PNG?'
    assert str(kind('a.json', 'is empty.')) == 'a.json: is empty.'
    assert isinstance(error, FLMMError) and isinstance(error, ValueError)


@pytest.mark.parametrize('kind', KINDS)
def test_errors_travel_between_processes(kind):
    error = kind('a.json', 'is empty.', key='k', fix='Fill it.')
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error)
    assert (again.path, again.key, again.problem, again.fix) == (
        'a.json',
        'k',
        'is empty.',
        'Fill it.',
    )
