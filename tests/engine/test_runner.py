from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from flmm.engine.checkpoint import load_training_state, save_training_state
from flmm.engine.runner import FLMMRunner, load_schedulers, map_schedulers, restore_part
from flmm.engine.sharded_checkpoint import save_sharded_state
from flmm.utils.errors import CheckpointError, CheckpointWriteError


@pytest.fixture
def runner(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.log_level = 'ERROR'
    return FLMMRunner.from_cfg(cfg)


@pytest.fixture
def trained(runner):
    runner.train()
    return runner


def head(runner):
    return {name: p.detach().clone() for name, p in runner.model.head.named_parameters()}


def test_a_checkpoint_holds_what_was_trained_and_no_more(trained, tmp_path):
    state = load_training_state(tmp_path / 'work' / 'iter_4.pth')
    names = {name.partition('.')[0] for name in state['state_dict']}
    assert names == {'head'}
    assert {'optimizer', 'param_schedulers', 'random_states', 'progress'} <= state.keys()
    # Of the rest a few numbers, by which another base is noticed.
    frozen = {name for name, p in trained.model.named_parameters() if not p.requires_grad}
    assert state['meta']['frozen_sample'].keys() == frozen != set()
    trained.save_checkpoint(str(tmp_path), 'bare.pth', save_optimizer=False, by_epoch=False)
    assert 'optimizer' not in load_training_state(tmp_path / 'bare.pth')


def test_weights_alone_may_come_from_elsewhere_but_must_be_whole(runner, tmp_path):
    path = tmp_path / 'weights.pth'
    weights = {name: tensor + 1 for name, tensor in runner.model.state_dict().items()}
    weights = {name: tensor for name, tensor in weights.items() if name.startswith('head')}
    torch.save({'state_dict': {**weights, 'other.weight': torch.ones(1)}}, path)
    before = head(runner)
    runner.load_checkpoint(str(path))
    assert all(tensor.equal(before[name] + 1) for name, tensor in head(runner).items())
    with pytest.raises(CheckpointError, match='other.weight'):
        runner.load_checkpoint(str(path), strict=True)
    del weights['head.1.weight']
    torch.save({'state_dict': weights}, path)
    with pytest.raises(CheckpointError, match='head.1.weight'):
        runner.load_checkpoint(str(path))
    with pytest.raises(ValueError, match='rename'):
        runner.load_checkpoint(str(path), revise_keys=[('a', 'b')])


def test_a_checkpoint_of_another_kind_of_run_says_how_to_use_it(runner, tmp_path):
    folder = tmp_path / 'iter_1.pth'
    common = {'meta': {'epoch': 0, 'iter': 1, 'seed': 7}, 'state_dict': {}}
    save_sharded_state(folder, {**common, 'shapes': {}, 'aliases': {}, 'zero': {}}, {}, rank=0)
    with pytest.raises(CheckpointError, match='--deepspeed'):
        runner.resume(str(folder))


def test_text_in_a_checkpoint_stays_text(trained, tmp_path):
    path = tmp_path / 'work' / 'iter_4.pth'
    state = load_training_state(path)
    canary = tmp_path / 'canary'
    state['meta']['config'] = f'import pathlib\npathlib.Path({str(canary)!r}).touch()'
    save_training_state(state, path)
    trained.resume(str(path))
    assert trained.iter == 4 and not canary.exists()


def test_a_disk_that_fails_is_named_and_the_file_before_stays(trained, tmp_path, monkeypatch):
    path = tmp_path / 'work' / 'iter_4.pth'
    before = path.read_bytes()

    def full(*_):
        raise RuntimeError('unexpected pos 64 vs 0')

    monkeypatch.setattr('flmm.engine.runner.save_training_state', full)
    with pytest.raises(CheckpointWriteError, match='iter_4.pth'):
        trained.save_checkpoint(str(path.parent), path.name, by_epoch=False)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match='file system'):
        trained.save_checkpoint(str(path.parent), 'x.pth', backend_args={'backend': 'petrel'})


def test_a_part_that_is_missing_or_does_not_fit_is_named():
    with pytest.raises(CheckpointError, match='optimizer.*load_from'):
        restore_part('optimizer', {}, 'a.pth', dict)
    small, large = (torch.optim.SGD(nn.Linear(2, n).parameters(), lr=1) for n in (2, 3))
    large.add_param_group({'params': [nn.Parameter(torch.ones(1))]})
    with pytest.raises(CheckpointError, match='a.pth.*does not fit'):
        restore_part('optimizer', {'optimizer': large.state_dict()}, 'a.pth', small.load_state_dict)


def test_schedulers_are_a_list_or_lists_by_name():
    loaded = []
    one, two = (SimpleNamespace(load_state_dict=loaded.append, name=n) for n in 'ab')
    assert map_schedulers({'g': [one], 'd': [two]}, lambda s: s.name) == {'g': ['a'], 'd': ['b']}
    assert map_schedulers([one, two], lambda s: s.name) == ['a', 'b']
    load_schedulers({'g': [one], 'd': [two]})({'g': [1], 'd': [2]})
    load_schedulers([one])([3])
    assert loaded == [1, 2, 3]
    with pytest.raises(ValueError, match='expected 2 schedulers, got 1'):
        load_schedulers([one, two])([1])
