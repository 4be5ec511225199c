"""Muon for hidden matrices, AdamW for the rest, one optimizer to the outside."""

import copy

import pytest
import torch
from mmengine.optim import LinearLR, build_optim_wrapper
from torch import nn

from flmm.engine.muon import MuonConstructor


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed_tokens = nn.Embedding(7, 8)
        self.inner = nn.Linear(8, 8)
        self.lm_head = nn.Linear(8, 7, bias=False)

    def forward(self, ids):
        return self.lm_head(self.inner(self.embed_tokens(ids)).tanh())


def wrapper_of(net):
    return build_optim_wrapper(
        net, dict(constructor=MuonConstructor, optimizer=dict(lr=0.01), clip_grad=dict(max_norm=1))
    )


def step(net, wrapper):
    ids = torch.arange(7)
    loss = nn.functional.cross_entropy(net(ids), ids)
    wrapper.update_params(loss)
    return loss.item()


def test_only_hidden_matrices_go_to_muon():
    net = Net()
    muon, adamw = wrapper_of(net).optimizer.param_groups
    assert [p is net.inner.weight for p in muon['params']] == [True]
    assert {id(p) for p in adamw['params']} == {
        id(net.embed_tokens.weight), id(net.inner.bias), id(net.lm_head.weight)
    }  # fmt: skip
    assert muon['lr'] == pytest.approx(0.1) and adamw['lr'] == pytest.approx(0.01)


def test_named_matrices_stay_with_adamw():
    net = Net()
    net.rows = nn.Module()
    net.rows.input = nn.Parameter(torch.zeros(3, 8))
    config = dict(constructor=MuonConstructor, optimizer=dict(lr=0.01))
    muon, adamw = build_optim_wrapper(net, dict(config)).optimizer.param_groups
    assert any(p is net.rows.input for p in muon['params'])
    config['paramwise_cfg'] = dict(adamw=['rows.'])
    muon, adamw = build_optim_wrapper(net, config).optimizer.param_groups
    assert any(p is net.rows.input for p in adamw['params'])
    assert [p is net.inner.weight for p in muon['params']] == [True]


def test_it_learns_and_a_scheduler_reaches_both():
    net = Net()
    wrapper = wrapper_of(net)
    scheduler = LinearLR(wrapper, start_factor=0.5, by_epoch=False, begin=0, end=2)
    assert [group['lr'] for group in wrapper.optimizer.param_groups] == pytest.approx([0.05, 0.005])
    losses = []
    for _ in range(60):
        losses.append(step(net, wrapper))
        scheduler.step()
    assert [group['lr'] for group in wrapper.optimizer.param_groups] == pytest.approx([0.1, 0.01])
    assert losses[-1] < 0.5 * losses[0]


def test_its_state_resumes_exactly():
    torch.manual_seed(0)
    first = Net()
    wrapper = wrapper_of(first)
    for _ in range(3):
        step(first, wrapper)
    again = Net()
    again.load_state_dict(first.state_dict())
    resumed = wrapper_of(again)
    resumed.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    for _ in range(2):
        step(first, wrapper)
        step(again, resumed)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
