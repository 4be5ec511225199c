import random
import time

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader

from flmm.engine.seekable_loader import BatchStream, SeededDataset, SeekableBatchSampler


class Draws(torch.utils.data.Dataset):
    """Index, epoch and one number of each generator; counts what is read."""

    def __init__(self, count=10):
        self.count, self.reads, self.epoch = count, 0, None

    def __len__(self):
        return self.count

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        self.reads += 1
        return index, self.epoch, random.random(), float(np.random.rand()), float(torch.rand(1))


def stream(count=10, infinite=False, workers=0, batch_size=3, **options):
    dataset = SeededDataset(Draws(count), seed=5)
    kind = InfiniteSampler if infinite else DefaultSampler
    sampler = kind(dataset, shuffle=True, seed=5)
    return BatchStream(
        DataLoader(
            dataset,
            batch_sampler=SeekableBatchSampler(sampler, batch_size, **options),
            num_workers=workers,
            collate_fn=list,
        )
    )


def passes(source, count):
    return [list(source) for _ in range(count)]


@pytest.mark.parametrize('workers', [0, 2])
def test_any_place_gives_what_a_whole_run_gives_there(workers):
    whole = passes(stream(workers=workers), 2)
    assert [len(batch) for batch in whole[0]] == [3, 3, 3, 1]
    assert [sample[1] for sample in whole[1][0]] == [1, 1, 1]
    assert whole[0] != whole[1]
    late = stream(workers=workers)
    late.seek(1, 2)
    assert passes(late, 1) == [whole[1][2:]]
    assert (late.epoch, late.batch) == (2, 0)


def test_workers_do_not_change_what_is_drawn():
    assert passes(stream(workers=2), 1) == passes(stream(), 1)


def test_drawing_samples_leaves_the_generators_of_the_model_alone():
    before = torch.get_rng_state(), random.getstate()
    passes(stream(), 1)
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


def test_the_place_of_the_next_batch_is_known_while_a_batch_is_used():
    source = stream()
    places = [(source.epoch, source.batch) for _ in source]
    assert places == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_an_incomplete_last_batch_can_be_dropped():
    assert [len(batch) for batch in stream(drop_last=True)] == [3, 3, 3]
    assert len(stream(drop_last=True).dataloader) == 3 and len(stream().dataloader) == 4


def test_step_100_000_is_found_in_two_seconds_without_reading_a_sample():
    source = stream(count=130_000, infinite=True, batch_size=8)
    began = time.process_time()
    source.seek(0, 100_000)
    first = next(iter(source))
    assert time.process_time() - began < 2
    assert source.dataloader.dataset.dataset.reads == len(first) == 8


def test_a_batch_sampler_of_the_config_makes_the_batches():
    from torch.utils.data import BatchSampler

    whole = [[s[0] for s in b] for b in stream()]
    other = stream(batch_sampler=dict(type=BatchSampler, drop_last=True))
    other.seek(0, 1)
    assert [[s[0] for s in b] for b in other] == whole[1:3]
