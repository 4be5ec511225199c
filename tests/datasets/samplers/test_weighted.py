"""Mixing by weights: shares by hand, every sample before any again, mistakes named."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmm.datasets.samplers import WeightedSampler


def test_weights_set_the_shares_of_an_epoch(parts):
    sampler = WeightedSampler(parts(a=10, b=1000), {'a': 3.0, 'b': 1.0}, length=80, seed=0)
    order = sampler.epoch_order(0)
    assert len(order) == len(sampler) == 80
    assert (order < 10).sum() == 60
    # 60 of 10: each comes six times before any comes a seventh time.
    assert set(Counter(order[order < 10].tolist()).values()) == {6}


def test_equal_treatment_of_all_samples_is_the_default_for_parts_not_named(parts):
    sampler = WeightedSampler(parts(a=10, b=30), {}, seed=0)
    assert sorted(sampler.epoch_order(0).tolist()) == list(range(40))
    half = WeightedSampler(parts(a=10, b=30), {'a': 30.0}, seed=0)
    assert half.quotas == [20, 20]
    none = WeightedSampler(parts(a=10, b=30), {'a': 1.0}, default=0.0, seed=0)
    assert none.quotas == [40, 0]


def test_what_does_not_divide_goes_to_the_largest_remainders(parts):
    def quotas(length, **weights):
        return WeightedSampler(parts(a=9, b=9, c=9), weights, length=length, seed=0).quotas

    # 10 / 3 each: the first gets the one that is left.
    assert quotas(10, a=1, b=1, c=1) == [4, 3, 3]
    # 0.7, 2.8 and 3.5 of 7: two are left, for 0.8 and 0.7.
    assert quotas(7, a=1, b=4, c=5) == [1, 3, 3]


def test_an_empty_part_takes_no_share(parts):
    sampler = WeightedSampler(parts(a=0, b=3), {'a': 9.0, 'b': 1.0}, length=6, seed=0)
    assert sampler.quotas == [0, 6]
    assert Counter(sampler.epoch_order(2).tolist()) == {0: 2, 1: 2, 2: 2}


def test_over_the_ends_of_epochs_every_sample_comes_before_any_comes_again(parts):
    sampler = WeightedSampler(parts(a=7, b=50), {'a': 1.0, 'b': 1.0}, length=6, seed=1)
    orders = np.concatenate([sampler.epoch_order(epoch) for epoch in range(7)])
    assert set(Counter(orders[orders < 7].tolist()).values()) == {3}


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    length=st.integers(1, 60),
    epochs=st.integers(1, 6),
)
def test_any_weights_give_epochs_of_the_wanted_length_that_use_all_samples_alike(
    parts, sizes, length, epochs
):
    dataset = parts(**{f'p{i}': size for i, size in enumerate(sizes)})
    weights = {f'p{i}': float(i + 1) for i in range(len(sizes))}
    sampler = WeightedSampler(dataset, weights, length=length, seed=3)
    orders = [sampler.epoch_order(epoch) for epoch in range(epochs)]
    assert all(len(order) == length for order in orders)
    often = np.bincount(np.concatenate(orders), minlength=sum(sizes))
    start = 0
    for size, quota in zip(sizes, sampler.quotas, strict=True):
        own = often[start : start + size]
        assert own.sum() == quota * epochs and own.max() - own.min() <= 1
        start += size
    assert start == len(often)


def test_mistakes_in_weights_are_named(parts):
    with pytest.raises(ValueError, match='No part is called c'):
        WeightedSampler(parts(a=1, b=1), {'c': 1.0}, seed=0)
    with pytest.raises(ValueError, match='at least 0'):
        WeightedSampler(parts(a=1, b=1), {'a': -1.0}, seed=0)
    with pytest.raises(ValueError, match='one above it'):
        WeightedSampler(parts(a=1, b=1), {'a': 0.0, 'b': 0.0}, seed=0)


def test_runs_are_of_one_part_and_keep_the_shares(parts):
    sampler = WeightedSampler(parts(a=10, b=100), {'a': 1.0, 'b': 3.0}, length=67, seed=0, run=8)
    # 8 runs: 2 of the one, 6 of the other.
    assert sampler.quotas == [16, 48] and len(sampler) == 64
    runs = sampler.epoch_order(0).reshape(-1, 8)
    kinds = (runs < 10).sum(1)
    assert set(kinds.tolist()) == {0, 8} and (kinds == 8).sum() == 2
    assert kinds.tolist() != sorted(kinds.tolist())
    assert max(Counter(runs[kinds == 8].flatten().tolist()).values()) == 2
    with pytest.raises(ValueError, match='run must be 1 to 67'):
        WeightedSampler(parts(a=10, b=100), {}, length=67, seed=0, run=68)
