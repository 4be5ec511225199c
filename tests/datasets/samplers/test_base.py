"""One order for all processes: each takes its part, at any place of an epoch."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmm.datasets.samplers import LengthGroupedSampler, SharedOrderSampler, WeightedSampler


class Shifted(SharedOrderSampler):
    """0 to n - 1, from the number of the epoch on."""

    def epoch_length(self):
        return len(self.dataset)

    def epoch_order(self, epoch):
        return np.roll(np.arange(len(self.dataset)), -epoch)


def of_rank(sampler, rank, world_size):
    sampler.rank, sampler.world_size = rank, world_size
    return list(sampler)


@pytest.mark.parametrize('kind', ['weighted', 'grouped'])
@pytest.mark.parametrize('world_size', [1, 2, 4])
def test_a_global_batch_has_the_same_samples_on_any_number_of_processes(kind, world_size, parts):
    def make():
        if kind == 'weighted':
            return WeightedSampler(parts(a=20, b=30), {'a': 1.0, 'b': 1.0}, length=48, seed=5)
        return LengthGroupedSampler(range(48), 8, lengths=range(48), seed=5)

    alone = list(make())
    ranks = [of_rank(make(), rank, world_size) for rank in range(world_size)]
    size = 8 // world_size
    for batch in range(6):
        together = sum((own[batch * size : (batch + 1) * size] for own in ranks), [])
        assert sorted(together) == sorted(alone[batch * 8 : batch * 8 + 8])


def test_processes_have_equally_many_samples_unless_told_otherwise():
    # Two more than ten make twelve: the first two come again.
    assert [of_rank(Shifted(range(10), seed=0), rank, 4) for rank in range(4)] == [
        [0, 4, 8],
        [1, 5, 9],
        [2, 6, 0],
        [3, 7, 1],
    ]
    exact = [of_rank(Shifted(range(10), 0, round_up=False), rank, 4) for rank in range(4)]
    assert exact == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


@given(st.integers(0, 30), st.integers(1, 8), st.booleans())
def test_the_length_of_a_process_is_what_it_gives(count, world_size, round_up):
    for rank in range(world_size):
        sampler = Shifted(range(count), seed=0, round_up=round_up)
        assert len(of_rank(sampler, rank, world_size)) == len(sampler)


def test_a_place_is_sought_for_one_iteration_of_the_epoch_that_was_set():
    sampler = Shifted(range(4), seed=0)
    sampler.set_epoch(1)
    sampler.seek(3)
    assert list(sampler) == [0]
    assert list(sampler) == [1, 2, 3, 0]
    sampler.rank, sampler.world_size = 1, 2
    sampler.seek(1)
    # Of this process: 2 and 0 are its share.
    assert list(sampler) == [0]


def test_seeking_far_is_quick_and_gives_what_would_have_come():
    lengths = np.zeros(1_000_000, np.int64)
    sampler = LengthGroupedSampler(range(1_000_000), 8, lengths=lengths, seed=0)
    sampler.set_epoch(3)
    start = time.process_time()
    sampler.seek(800_000)
    first = next(iter(sampler))
    assert time.process_time() - start < 2
    assert first == next(itertools.islice(iter(sampler), 800_000, None))


def test_an_order_is_needed():
    class Unordered(SharedOrderSampler):
        def epoch_length(self):
            return 1

    with pytest.raises(TypeError, match='epoch_order'):
        Unordered(range(1), seed=0)
