"""A step in 4 bits keeps fewer bytes than one in bf16, and every tensor is counted once."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


@pytest.fixture(scope='module')
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location(
            'training_memory', BENCHMARKS / 'training_memory.py'
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


def test_shared_storages_count_once(benchmark):
    tensor = torch.zeros(10, dtype=torch.bfloat16)
    assert benchmark.nbytes([tensor, tensor[:5], torch.zeros(3)]) == 20 + 12


def test_each_way_keeps_less_than_the_one_before(benchmark, monkeypatch, capsys):
    tiny = dict(hidden=256, heads=4, intermediate=512, layers=2)
    monkeypatch.setitem(benchmark.SIZES, 'tiny', tiny)
    full, lora, qlora = benchmark.main(['--sizes', 'tiny', '--rank', '2'])
    assert full['total'] > lora['total'] > qlora['total']
    assert lora['optimiser'] == qlora['optimiser'] and lora['trained'] == qlora['trained']
    # From 2 bytes a weight to half a byte and its share of the scales (0.53 in all).
    saved = (lora['weights'] - qlora['weights']) / lora['parameters']
    assert saved == pytest.approx(2 - 0.53, abs=0.03)
    # Moments are as large as what trains: two for each weight in bf16, here.
    assert full['optimiser'] >= 2 * full['gradients']
    assert 'no GPU at hand' in capsys.readouterr().out
