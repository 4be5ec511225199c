"""Batches of like lengths: lengths from the annotations, nothing lost, order at random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmm.datasets import ConcatGrounding, ImageSafe
from flmm.datasets.samplers import LengthGroupedSampler, sample_lengths
from flmm.engine.seekable_loader import SeededDataset


def test_lengths_are_read_from_the_annotations_alone(parts):
    lengths = sample_lengths(parts(a=6, b=3))
    assert lengths.tolist() == [0, 1, 2, 0, 0, 5, 0, 1, 2]

    class Own:
        def sample_lengths(self):
            return [5, 6]

    assert sample_lengths(Own()).tolist() == [5, 6]
    with pytest.raises(TypeError, match='sample_lengths'):
        sample_lengths([1, 2])


def test_lengths_are_found_behind_seeding_and_of_the_samples_that_are_kept(words):
    assert sample_lengths(SeededDataset(words('a', 3), seed=0)).tolist() == [0, 1, 2]
    safe = ImageSafe(words('a', 7), [words('a', 2)])
    # 0 and 1 are images of the test.
    assert sample_lengths(safe).tolist() == [2, 0, 0, 5, 6]
    both = ConcatGrounding([safe, words('b', 2)])
    sampler = LengthGroupedSampler(SeededDataset(both, seed=0), 2, seed=0)
    assert sampler.lengths.tolist() == [2, 0, 0, 5, 6, 0, 1]
    assert sorted(sampler) == list(range(7))


def test_batches_hold_samples_of_like_length_and_each_sample_comes_once():
    lengths = np.random.default_rng(0).permutation(400)
    sampler = LengthGroupedSampler(range(400), 8, chunk=50, lengths=lengths, seed=0)
    order = sampler.epoch_order(0)
    assert sorted(order.tolist()) == list(range(400))
    batches = lengths[order].reshape(-1, 8)
    spread = (batches.max(1) - batches.min(1)).mean()
    assert spread == 7  # all 400 in one chunk: each batch has eight consecutive lengths
    assert abs(np.corrcoef(batches.mean(1), np.arange(50))[0, 1]) < 0.5  # in random order
    assert sampler.epoch_order(1).tolist() != order.tolist()


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    chunk=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_any_sizes_give_every_sample_once_with_lengths_rising_in_a_batch(
    count, batch_size, chunk, epoch
):
    lengths = np.arange(count)[::-1] % 13
    sampler = LengthGroupedSampler(range(count), batch_size, chunk, lengths, seed=1)
    order = sampler.epoch_order(epoch)
    assert sorted(order.tolist()) == list(range(count)) and len(order) == sampler.epoch_length()
    # Batches of all but the incomplete one begin at multiples of the size.
    for start in range(0, count, batch_size):
        assert (np.diff(lengths[order[start : start + batch_size]]) >= 0).all()


def test_an_incomplete_batch_stays_last():
    sampler = LengthGroupedSampler(range(10), 4, chunk=3, lengths=range(10), seed=0)
    for epoch in range(5):
        # One chunk: 0-3, 4-7 and what is left.
        assert sampler.epoch_order(epoch)[8:].tolist() == [8, 9]


def test_mistakes_in_sizes_are_named():
    with pytest.raises(ValueError, match='must be positive, got 0, 50'):
        LengthGroupedSampler(range(2), 0, lengths=[1, 2], seed=0)
    with pytest.raises(ValueError, match='must be positive, got 1, 0'):
        LengthGroupedSampler(range(2), 1, chunk=0, lengths=[1, 2], seed=0)
    with pytest.raises(ValueError, match='3 lengths for 2 samples'):
        LengthGroupedSampler(range(2), 1, lengths=[1, 2, 3], seed=0)
