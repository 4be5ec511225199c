"""What a training state may hold, and how everything else is reduced to it or refused."""

from collections import OrderedDict, deque, namedtuple
from enum import Enum, IntEnum

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flmm.engine.plain_state import check_state, to_plain
from flmm.utils.errors import CheckpointError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_plain_stays_as_it_is(value):
    assert repr(to_plain(value)) == repr(value)


def test_subclasses_of_plain_types_become_plain():
    class Colour(str, Enum):
        RED = 'red'

    class Level(IntEnum):
        HIGH = 3

    Pair = namedtuple('Pair', 'a b')
    plain = to_plain(
        {
            'deque': deque([1, np.int64(2)]),
            'text': Colour.RED,
            'flag': np.bool_(True),
            'number': Level.HIGH,
            'share': np.float32(0.5),
            'pair': Pair(1, np.float64(2)),
            'ordered': OrderedDict(b=1, a=2),
            Level.HIGH: None,
        }
    )
    # repr: True == 1, and an enum's member equals its value.
    assert repr(plain) == (
        "{'deque': [1, 2], 'text': 'red', 'flag': True, 'number': 3, 'share': 0.5, "
        "'pair': (1, 2.0), 'ordered': {'b': 1, 'a': 2}, 3: None}"
    )


def test_arrays_become_tensors_of_their_own():
    array, weight = np.arange(3), nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    plain = to_plain([array, weight])
    array[0] = 9
    assert plain[0].tolist() == [0, 1, 2] and plain[0].dtype == torch.int64
    assert type(plain[1]) is torch.Tensor and not plain[1].requires_grad
    assert plain[1].dtype == torch.bfloat16 and plain[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ('value', 'name'),
    [
        ({'a': [1, {2}]}, r"state\['a'\]\[1\] is a set"),
        ({'a': ({'b': len},)}, r"state\['a'\]\[0\]\['b'\] is a builtin_function"),
        ({(1, print): 2}, r'state \(a key\)\[1\] is a builtin_function'),
        (np.array(['text']), 'state is a ndarray'),
        (b'bytes', 'state is a bytes'),
        (1j, 'state is a complex'),
        (nn.Identity(), 'state is a Identity'),
    ],
)
def test_what_is_not_plain_is_named_with_its_place(value, name):
    with pytest.raises(TypeError, match=name):
        to_plain(value)


META = {'epoch': 0, 'iter': 3, 'seed': 1}


@pytest.mark.parametrize(
    ('state', 'words'),
    [
        (None, "the dict 'meta'"),
        ([META], "the dict 'meta'"),
        ({'meta': None, 'state_dict': {}}, "the dict 'meta'"),
        ({'meta': META}, "the dict 'state_dict'"),
        ({'meta': META, 'state_dict': [1]}, "the dict 'state_dict'"),
        ({'meta': {**META, 'seed': None}, 'state_dict': {}}, r"a\.pth at meta\['seed'\]"),
        ({'meta': {**META, 'iter': '3'}, 'state_dict': {}}, r"a\.pth at meta\['iter'\]"),
        ({'meta': {'iter': 3, 'seed': 1}, 'state_dict': {}}, r"a\.pth at meta\['epoch'\]"),
    ],
)
def test_another_form_is_refused_with_what_it_lacks_and_what_to_do(state, words):
    with pytest.raises(CheckpointError, match=f'{words}.*load_from'):
        check_state(state, 'a.pth')


def test_a_state_may_hold_more():
    assert check_state({'meta': {**META, 'x': 1}, 'state_dict': {}, 'more': 2}, 'a.pth') is None
