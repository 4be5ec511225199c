"""An interrupted retraining goes on with the stage it was in."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from torch.utils.data import Dataset

from flmm.registry import DATASETS, MODELS

TOOL = Path(__file__).resolve().parents[2] / 'tools/retrain_tiny.py'
CONFIG = """
default_scope = 'flmm'
model = dict(type='RetrainTinyProbe', name='{name}')
train_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='RetrainTinyData'),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters={steps})
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
work_dir = '{folder}'
"""
TRAINED: list[str] = []


@DATASETS.register_module(name='RetrainTinyData')
class OneNumber(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.ones(1)


@MODELS.register_module(name='RetrainTinyProbe')
class Probe(BaseModel):
    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode: str = 'loss'):
        if self.name in FAILING:
            raise RuntimeError('the power went')
        TRAINED.append(self.name)
        return {'loss': (self.weight - 1).square().sum()}


FAILING: set[str] = set()


@pytest.fixture
def tool(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location('retrain_tiny', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    paths = []
    for name in ('first', 'second', 'third'):
        path = tmp_path / f'{name}.py'
        path.write_text(CONFIG.format(name=name, steps=1, folder=tmp_path / name))
        paths.append(str(path))
    monkeypatch.setitem(module.STAGES, 'probe', tuple(paths))
    TRAINED.clear()
    FAILING.clear()
    return module


def test_finished_stages_are_not_trained_again(tool):
    FAILING.add('second')
    with pytest.raises(RuntimeError, match='the power went'):
        tool.train('probe')
    assert TRAINED == ['first']
    FAILING.clear()
    tool.train('probe')
    assert TRAINED == ['first', 'second', 'third']
    tool.train('probe')
    assert TRAINED == ['first', 'second', 'third']


def test_a_changed_stage_and_those_after_it_are_trained_again(tool):
    tool.train('probe')
    path = Path(tool.STAGES['probe'][1])
    path.write_text(CONFIG.format(name='second', steps=2, folder=path.with_suffix('')))
    TRAINED.clear()
    tool.train('probe')
    assert TRAINED == ['second', 'second', 'third']
