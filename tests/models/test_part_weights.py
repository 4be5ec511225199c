import pytest
import torch
from torch import nn

from flmm.models.part_weights import TakesWeights, freeze_parts, load_some, warn_of_gaps
from flmm.utils.errors import CheckpointError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({'first': nn.Linear(2, 2), 'second': nn.Linear(2, 2)})


def test_what_is_there_is_taken_and_the_rest_stays(model):
    before = model['second'].weight.clone()
    weights = {
        'first.weight': torch.ones(2, 2),
        'first.bias': torch.zeros(2),
        'other': torch.ones(1),
    }
    filled = load_some(model, weights, 'iter_5.pth', {'first.weight', 'second.weight'})
    assert filled == ['first.bias', 'first.weight']
    assert torch.equal(model['first'].weight, torch.ones(2, 2))
    assert torch.equal(model['second'].weight, before)


def test_weights_of_something_else_are_refused(model):
    other = {'mask_head.weight': torch.ones(1)}
    with pytest.raises(
        CheckpointError, match=r'x\.pth.*none of the weights that train here.*mask_head'
    ):
        load_some(model, other, 'x.pth', {'first.weight'})
    wide = {'first.weight': torch.ones(3, 2)}
    with pytest.raises(CheckpointError, match=r'expected the shape \(2, 2\), got \(3, 2\)'):
        load_some(model, wide, 'x.pth', {'first.weight'})


def test_only_a_system_that_says_so_takes_weights(model):
    assert not isinstance(model, TakesWeights)
    model.starts_from, model.take_weights = None, lambda weights, path: []
    assert isinstance(model, TakesWeights)


def test_frozen_parts_name_what_an_earlier_training_has_made(model):
    model['second'].weight.requires_grad_(False)  # pretrained: in no checkpoint
    assert freeze_parts(model, ['second']) == {'second.bias'}
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        'first.weight',
        'first.bias',
    ]
    with pytest.raises(AttributeError, match='third'):
        freeze_parts(model, ['third'])


def test_frozen_weights_that_nothing_brings_are_named(monkeypatch):
    said = []
    monkeypatch.setattr('flmm.models.part_weights.print_log', lambda text, **_: said.append(text))
    warn_of_gaps(set(), 'a.pth')
    assert not said
    warn_of_gaps({'box_head.cls.weight', 'box_head.cls.bias', 'point_head.a'}, 'trace.pth')
    assert 'trace.pth lacks 3 weights' in said[0] and 'box_head, point_head' in said[0]
