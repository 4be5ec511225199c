"""Which strategy a config leads to, and what it is asked; what DeepSpeed does is in test_faults."""

import argparse
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine._strategy import SingleDeviceStrategy
from mmengine.config import Config, DictAction
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from tiny_training import TinyModel
from torch import nn

from flmm.engine.flexible_runner import FLMMFlexibleRunner
from flmm.engine.muon import MuonConstructor
from flmm.utils.errors import FLMMError


class Strategy(SingleDeviceStrategy):
    """Takes the options of DeepSpeed's, and writes down what it is asked for."""

    def __init__(self, config=None, zero_optimization=None, env_kwargs=None, **options):
        self.stage = (zero_optimization or config['zero_optimization'])['stage']
        self.micro_batch = options.pop('train_micro_batch_size_per_gpu')
        self.calls = []
        super().__init__(env_kwargs=env_kwargs, **options)

    def accumulation(self):
        return 4

    def accumulation_complete(self):
        return False

    def save_state(self, *args):
        self.calls.append(args)

    def load_weights(self, path):
        return f'weights of {path}'

    def resume_state(self, *args):
        return args


@pytest.fixture
def build(tiny_config, tmp_path, monkeypatch):
    # Importing DeepSpeed takes seconds.
    module = SimpleNamespace(FLMMDeepSpeedStrategy=Strategy)
    monkeypatch.setitem(sys.modules, 'flmm.engine.strategy', module)

    def build(strategy, **changes):
        cfg = Config.fromfile(tiny_config)
        cfg.update(work_dir=str(tmp_path / 'work'), log_level='ERROR', strategy=strategy)
        cfg.update(changes)
        return FLMMFlexibleRunner.from_cfg(cfg)

    return build


XTUNERS = dict(
    type='xtuner.engine.DeepSpeedStrategy',
    config=dict(zero_optimization=dict(stage=3)),
    train_micro_batch_size_per_gpu=2,
    sequence_parallel_size=1,
    exclude_frozen_parameters=True,
)


def test_xtuners_and_mmengines_strategies_become_flmms(build):
    found = build(XTUNERS).strategy
    assert type(found) is Strategy and (found.stage, found.micro_batch) == (3, 2)


def test_a_config_as_mmengine_takes_it_needs_no_size_of_batch(build):
    found = build(dict(type='DeepSpeedStrategy', zero_optimization=dict(stage=2))).strategy
    # The dataloader's.
    assert type(found) is Strategy and (found.stage, found.micro_batch) == (2, 2)


def test_without_training_the_size_of_batch_does_not_matter(build):
    nothing = dict(train_dataloader=None, train_cfg=None, optim_wrapper=None, param_scheduler=None)
    runner = build(dict(type='DeepSpeedStrategy', zero_optimization=dict(stage=2)), **nothing)
    assert runner.strategy.micro_batch == 1


@pytest.mark.parametrize('strategy', [None, dict(type='DDPStrategy')])
def test_without_deepspeed_the_error_names_the_runner_to_use(build, strategy):
    with pytest.raises(ValueError, match='--deepspeed, or FLMMRunner'):
        build(strategy)


@pytest.mark.parametrize('constructor', [MuonConstructor, 'MuonConstructor'])
def test_muon_is_refused_with_the_way_out(build, constructor):
    optimizer = dict(lr=0.25, muon_lr=0.5)
    wrapper = dict(constructor=constructor, optimizer=optimizer, type='DeepSpeedOptimWrapper')
    with pytest.raises(FLMMError, match='without --deepspeed .* or with AdamW') as refused:
        build(XTUNERS, optim_wrapper=wrapper)
    # The command line that it names builds an optimiser of the same config.
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    named = str(refused.value).partition('--cfg-options ')[2].split()
    config = Config(dict(optim_wrapper=dict(wrapper, type='OptimWrapper')))
    config.merge_from_dict(parser.parse_args(['--cfg-options', *named]).cfg_options)
    built = build_optim_wrapper(nn.Linear(2, 2), config.optim_wrapper)
    assert isinstance(built.optimizer, torch.optim.AdamW) and built.get_lr()['lr'] == [0.25]


def test_what_a_resume_needs_is_asked_of_the_strategy(build, tmp_path):
    runner = build(XTUNERS)
    assert runner.accumulation() == 4 and runner.accumulation_complete() is False
    runner.write_state('folder', {'meta': {}}, True, False)
    assert runner.strategy.calls == [('folder', {'meta': {}}, True, False)]
    assert runner.read_state('folder', False, True) == ('folder', False, True)
    assert runner.read_weights('folder', strict=False) is None


def test_the_bare_model_is_inside_of_an_engine(build):
    runner = build(XTUNERS)
    runner.model = model = TinyModel()
    assert runner.bare_model is model
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    runner.model = wrapper
    assert runner.bare_model is model


def test_the_model_is_there_before_the_strategy_wraps_it(build):
    runner = build(XTUNERS)
    assert isinstance(runner.model, dict)
    model = runner.build_bare_model()
    assert isinstance(model, nn.Module) and runner.build_bare_model() is runner.model is model
