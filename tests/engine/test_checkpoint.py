import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from flmm.engine.checkpoint import (
    load_trainable_state_dict,
    load_training_state,
    message_hub_from_plain,
    message_hub_to_plain,
    save_training_state,
    trainable_state_dict,
)
from flmm.engine.plain_state import to_plain
from flmm.utils.errors import CheckpointError


class HalfFrozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.register_buffer('scale', torch.ones(()))
        self.register_buffer('cache', torch.ones(()), persistent=False)


HEAD = {
    'head.0.weight',
    'head.0.bias',
    'head.1.weight',
    'head.1.bias',
    'head.1.running_mean',
    'head.1.running_var',
    'head.1.num_batches_tracked',
    'scale',
}


def state(**more):
    return {'meta': {'epoch': 0, 'iter': 3, 'seed': 1}, 'state_dict': {}, **more}


def test_only_what_training_changes_is_saved():
    assert set(trainable_state_dict(HalfFrozen())) == HEAD


def test_saved_tensors_are_copies():
    model = HalfFrozen()
    saved = trainable_state_dict(model)
    with torch.no_grad():
        model.head[0].weight += 1
    assert not torch.equal(saved['head.0.weight'], model.head[0].weight)


def test_the_trainable_part_alone_can_be_loaded_and_the_rest_stays():
    source, target = HalfFrozen(), HalfFrozen()
    before = target.tower[0].weight.clone()
    weights = {f'module.{name}': t for name, t in trainable_state_dict(source).items()}
    report = load_trainable_state_dict(target, {**weights, 'extra': torch.ones(1)}, 'a.pth')
    assert torch.equal(target.head[0].weight, source.head[0].weight)
    assert torch.equal(target.tower[0].weight, before)
    assert set(report.loaded) == HEAD
    assert report.unexpected == ('extra',)
    assert report.missing_buffers == ()


def test_a_missing_trainable_parameter_is_refused_and_named_and_nothing_changes():
    source, target = HalfFrozen(), HalfFrozen()
    before = target.head[0].bias.clone()
    weights = trainable_state_dict(source)
    weights['head.0.wieght'] = weights.pop('head.0.weight')
    with pytest.raises(CheckpointError, match=r'a\.pth.*head\.0\.weight.*head\.0\.wieght'):
        load_trainable_state_dict(target, weights, 'a.pth')
    assert torch.equal(target.head[0].bias, before)


def test_another_shape_is_refused_with_both_shapes():
    weights = trainable_state_dict(HalfFrozen())
    weights['head.0.bias'] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r'head\.0\.bias.*\(2,\).*\(3,\)'):
        load_trainable_state_dict(HalfFrozen(), weights, 'a.pth')


def test_a_missing_buffer_is_reported():
    weights = trainable_state_dict(HalfFrozen())
    del weights['head.1.running_mean']
    report = load_trainable_state_dict(HalfFrozen(), weights, 'a.pth')
    assert report.missing_buffers == ('head.1.running_mean',)
    assert 'head.1.running_mean' in str(report)


def test_a_state_survives_the_file_as_plain_containers(tmp_path):
    path = tmp_path / 'a.pth'
    save_training_state(state(optimizer={'step': np.float64(2.5), 3: (np.arange(2),)}), path)
    # The plain loader of torch, as xtuner uses it.
    loaded = torch.load(path, weights_only=True)
    assert type(loaded['optimizer']['step']) is float
    assert loaded['optimizer'][3][0].tolist() == [0, 1]
    assert load_training_state(path)['meta']['iter'] == 3


def test_what_is_not_plain_is_refused_by_name_and_writes_nothing(tmp_path):
    with pytest.raises(TypeError, match=r"state\['optimizer'\]\['hook'\] is a function"):
        save_training_state(state(optimizer={'hook': lambda: None}), tmp_path / 'a.pth')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'content',
    [
        [1],
        {'state_dict': {}},
        {'meta': {'iter': 1}, 'state_dict': {}},
        {'meta': 1, 'state_dict': 2},
    ],
)
def test_another_kind_of_file_is_not_a_training_state(tmp_path, content):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth'):
        load_training_state(tmp_path / 'a.pth')


def test_the_log_history_survives_as_plain_containers():
    hub = MessageHub('test_the_log_history', resumed_keys={})
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('best_score', np.float32(0.5))
    hub.update_info('cfg', 'import os')
    hub.update_info('model', nn.Identity())
    plain = to_plain(message_hub_to_plain(hub.state_dict()))
    assert set(plain['runtime_info']) == {'best_score'}
    restored = MessageHub('test_the_log_history_restored')
    restored.load_state_dict(message_hub_from_plain(plain, 'a.pth'))
    assert restored.get_scalar('train/loss').mean(2) == 3.0
    assert restored.get_info('best_score') == 0.5


def test_a_broken_log_history_is_named():
    with pytest.raises(CheckpointError, match=r'a\.pth at message_hub'):
        message_hub_from_plain({'log_scalars': {'loss': 1}}, 'a.pth')
