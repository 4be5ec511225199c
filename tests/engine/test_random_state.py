"""Generators of Python, numpy and torch: states that come back, seeds that are borrowed."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flmm.engine.plain_state import to_plain
from flmm.engine.random_state import (
    preserved_random_state,
    random_state,
    seeded,
    set_random_state,
)


def draw():
    """Numbers of each generator; an odd count of normal ones, which are made in pairs."""
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        *torch.randn(3).tolist(),
    )


def test_random_states_come_back_from_a_file(tmp_path):
    draw()
    state = random_state()
    first = draw()
    torch.save(to_plain(state), tmp_path / 'a.pth')
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    # The loader that executes nothing.
    set_random_state(torch.load(tmp_path / 'a.pth', weights_only=True))
    assert draw() == first


def test_what_is_drawn_inside_leaves_no_trace():
    state = random_state()
    expected = draw()
    set_random_state(state)
    with preserved_random_state():
        assert draw() == expected
        draw()
    with pytest.raises(RuntimeError, match='inside'):
        with preserved_random_state():
            draw()
            raise RuntimeError('inside')
    assert draw() == expected


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=3))
def test_the_same_numbers_give_the_same_draws_whatever_was_before(numbers):
    with seeded(*numbers):
        first = draw()
    draw()
    with seeded(*numbers):
        assert draw() == first


def test_each_generator_and_each_number_counts():
    drawn = []
    for numbers in ((1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3), (3, 2, 1)):
        with seeded(*numbers):
            drawn.append(draw())
    # Seven columns of five numbers, no number twice.
    assert len({number for row in drawn for number in row}) == 35


def test_a_borrowed_seed_is_given_back_also_after_an_error():
    state = random_state()
    expected = draw()
    set_random_state(state)
    with pytest.raises(RuntimeError, match='inside'):
        with seeded(5):
            draw()
            raise RuntimeError('inside')
    assert draw() == expected


def test_borrowing_a_seed_does_not_touch_a_gpu(monkeypatch):
    def touched(*_):
        raise AssertionError('a GPU was seeded')

    for name in ('manual_seed', 'manual_seed_all', 'set_rng_state'):
        monkeypatch.setattr(torch.cuda, name, touched)
    with seeded(5):
        draw()


def test_the_gpus_state_is_saved_and_set_where_there_is_one(monkeypatch):
    on_gpu = [torch.tensor([7], dtype=torch.uint8)]
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_rng_state', lambda: on_gpu[-1])
    monkeypatch.setattr(torch.cuda, 'set_rng_state', on_gpu.append)
    state = random_state()
    on_gpu.append(torch.tensor([8], dtype=torch.uint8))
    set_random_state(state)
    assert on_gpu[-1].tolist() == [7]
    # A run without a GPU leaves it as it is, and goes on from a state with one.
    without = {name: part for name, part in state.items() if name != 'cuda'}
    set_random_state(without)
    assert len(on_gpu) == 3
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    set_random_state(state)
    assert len(on_gpu) == 3 and 'cuda' not in random_state()


def test_another_form_is_an_error():
    with pytest.raises(KeyError):
        set_random_state({})
