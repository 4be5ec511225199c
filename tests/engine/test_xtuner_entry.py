from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner

from flmm.engine.checkpoint import save_training_state
from flmm.engine.flexible_runner import FLMMFlexibleRunner
from flmm.engine.xtuner_entry import RunnerChoice, install
from flmm.utils.errors import UnsafeFileError


@pytest.fixture
def tools():
    """Stands in for `xtuner.tools.utils`."""
    original = RUNNERS.get('FlexibleRunner')

    def dtype(config):
        return {**config, 'asked': 'the GPU'}

    module = SimpleNamespace(
        get_seed_from_checkpoint=lambda path: f'seed of {path}',
        auto_dtype_of_deepspeed_config=dtype,
        set_model_resource=lambda cfg: None,
    )
    install(module)
    yield module
    RUNNERS.register_module(name='FlexibleRunner', module=original, force=True)


def test_the_runner_depends_on_whose_config_it_is(tools, monkeypatch):
    built = []
    for kind in (FlexibleRunner, FLMMFlexibleRunner):
        make = classmethod(lambda cls, cfg, kind=kind: built.append(kind))
        monkeypatch.setattr(kind, 'from_cfg', make)
    choice = RUNNERS.get('FlexibleRunner')
    assert choice is RunnerChoice
    choice.from_cfg(Config({'default_scope': 'flmm'}))
    choice.from_cfg(Config({'default_scope': 'mmengine'}))
    choice.from_cfg(Config({}))
    assert built == [FLMMFlexibleRunner, FlexibleRunner, FlexibleRunner]


@pytest.mark.parametrize('scope', ['flmm', 'mmengine'])
def test_what_xtuner_drops_of_an_optimizers_wrapper_is_kept(tools, monkeypatch, scope):
    seen = []
    for kind in (FlexibleRunner, FLMMFlexibleRunner):
        monkeypatch.setattr(kind, 'from_cfg', classmethod(lambda cls, cfg: seen.append(cfg)))
    cfg = Config(dict(default_scope=scope, optim_wrapper=dict(optimizer=dict(lr=1.0))))
    # As xtuner's script does: the options after the config, then the strategy.
    tools.set_model_resource(cfg)
    cfg.merge_from_dict({'optim_wrapper.paramwise_cfg': dict(bias_lr_mult=3.0)})
    tools.auto_dtype_of_deepspeed_config({})
    cfg.optim_wrapper = dict(type='DeepSpeedOptimWrapper', optimizer=cfg.optim_wrapper.optimizer)
    RUNNERS.get('FlexibleRunner').from_cfg(cfg)
    expected = {'type': 'DeepSpeedOptimWrapper', 'optimizer': {'lr': 1.0}}
    if scope == 'flmm':
        expected['paramwise_cfg'] = {'bias_lr_mult': 3.0}
    assert seen[0].to_dict() == {'default_scope': scope, 'optim_wrapper': expected}


def test_the_seed_is_read_without_running_anything(tools, tmp_path, canary):
    path = tmp_path / 'iter_3.pth'
    state = {'meta': {'epoch': 0, 'iter': 3, 'seed': 11}, 'state_dict': {}}
    save_training_state(state, path)
    assert tools.get_seed_from_checkpoint(str(path)) == 11
    torch.save({**state, 'x': canary}, path)
    with pytest.raises(UnsafeFileError, match='iter_3'):
        tools.get_seed_from_checkpoint(str(path))
    assert not canary.path.exists()
    # Folders of DeepSpeed's own are xtuner's business.
    assert tools.get_seed_from_checkpoint(str(tmp_path)) == f'seed of {tmp_path}'


def test_without_a_gpu_nobody_asks_it_for_a_dtype(tools, monkeypatch):
    config = {'fp16': {'enabled': 'auto'}, 'bf16': {'enabled': 'auto'}}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    found = tools.auto_dtype_of_deepspeed_config(config)
    assert found == {'fp16': {'enabled': False}, 'bf16': {'enabled': False}}
    # What a user has decided stays.
    asked_for = {'bf16': {'enabled': True}}
    assert tools.auto_dtype_of_deepspeed_config(asked_for) == {'bf16': {'enabled': True}}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert tools.auto_dtype_of_deepspeed_config({})['asked'] == 'the GPU'


def test_installing_twice_changes_nothing_more(tools):
    before = tools.get_seed_from_checkpoint
    install(tools)
    assert tools.get_seed_from_checkpoint is before
