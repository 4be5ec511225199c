import logging

import pytest
import torch
from torch import nn

from flmm.engine.checkpoint import load_trainable, save_training_state, trainable_state_dict
from flmm.engine.frozen_sample import KEY, other_parts, read_sample, sample_frozen


class Pointing(nn.Module):
    """A frozen tower, a frozen refiner, and a head that trains."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.lmm = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)).requires_grad_(False)
        self.refiner = nn.Linear(8, 8).requires_grad_(False)
        self.head = nn.Linear(8, 1)


def saved(model, path, **meta):
    meta = {'epoch': 0, 'iter': 1, 'seed': 0, **meta}
    save_training_state({'meta': meta, 'state_dict': trainable_state_dict(model)}, path)
    return path


def test_a_sample_holds_evenly_spread_numbers_of_frozen_parameters_only():
    model = Pointing(0)
    with torch.no_grad():
        model.refiner.bias.copy_(torch.arange(8))
    sample = sample_frozen(model)
    assert {name.split('.')[0] for name in sample} == {'lmm', 'refiner'}
    # Places 0, 7/3, 14/3, 7 of 8, rounded down.
    assert sample['refiner.bias'].tolist() == [0, 2, 4, 7]


def test_a_parameter_larger_than_float32_can_count_is_sampled_to_its_end():
    model = nn.Module()
    # The embeddings of LLaMA-7B; one number, repeated, so that they take no memory.
    model.embeddings = nn.Parameter(torch.ones(1).expand(32000 * 4096), requires_grad=False)
    assert sample_frozen(model)['embeddings'].tolist() == [1, 1, 1, 1]


def test_whole_numbers_and_empty_parameters_are_left_out():
    model = nn.Module()
    model.packed = nn.Parameter(torch.ones(4, dtype=torch.uint8), requires_grad=False)
    model.away = nn.Parameter(torch.ones(0), requires_grad=False)
    assert sample_frozen(model) == {}


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_another_precision_is_the_same_part(dtype):
    sample = sample_frozen(Pointing(0))
    assert other_parts(Pointing(0).to(dtype), sample) == []


def test_parts_with_other_weights_are_named_and_equal_ones_are_not():
    model = Pointing(1)
    model.refiner = Pointing(0).refiner
    assert other_parts(model, sample_frozen(Pointing(0))) == ['lmm']


@pytest.fixture
def warnings(monkeypatch):
    """Texts of what is logged as a warning."""
    logged = []

    def log(text, level, **_options):
        assert level == logging.WARNING
        logged.append(text)

    monkeypatch.setattr('flmm.engine.frozen_sample.print_log', log)
    return logged


def test_a_checkpoint_over_other_frozen_weights_loads_with_a_warning(tmp_path, warnings):
    trained = Pointing(0)
    path = saved(trained, tmp_path / 'iter_1.pth', **{KEY: sample_frozen(trained)})
    load_trainable(Pointing(0), path)
    assert not warnings
    other = Pointing(1)
    load_trainable(other, path)
    assert torch.equal(other.head.weight, trained.head.weight)
    (text,) = warnings
    assert 'iter_1.pth' in text and 'lmm, refiner' in text and '`pretrained`' in text


@pytest.mark.parametrize('meta', [{}, {KEY: 'something'}, {KEY: {'lmm.0.weight': 'x'}}])
def test_a_checkpoint_that_says_nothing_usable_loads_silently(tmp_path, warnings, meta):
    path = saved(Pointing(0), tmp_path / 'iter_1.pth', **meta)
    load_trainable(Pointing(1), path)
    assert not warnings


def test_files_without_a_sample_have_none(tmp_path):
    torch.save({'w': torch.ones(1)}, tmp_path / 'bare.pth')
    (tmp_path / 'broken.pth').write_bytes(b'no zip archive')
    assert read_sample(tmp_path / 'bare.pth') is None
    assert read_sample(tmp_path / 'broken.pth') is None
    assert read_sample(tmp_path / 'model.safetensors') is None
