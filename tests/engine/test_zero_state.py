"""Pieces of parameters, on an engine made by hand: what a process owns, and what it takes back."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from flmm.engine.zero_state import (
    collect_pieces,
    full_shape,
    named_trainable,
    pieces_of,
    restore_optimizer,
    restore_scalars,
    zero_scalars,
    zero_stage,
)
from flmm.utils.errors import FLMMError


class Net(nn.Module):
    """`first` (3 numbers), `second` (4), a name more for `first`, and something frozen."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(3))
        self.second = nn.Parameter(torch.zeros(2, 2))
        self.other = self.first
        self.frozen = nn.Parameter(torch.zeros(5), requires_grad=False)


def address(start, numel):
    return SimpleNamespace(start=start, numel=numel)


def engine_of(rank, state=True):
    """Process 0 owns numbers 0 to 3 of all 7, process 1 numbers 4 to 6 and one of padding."""
    net = Net()
    flat = torch.arange(4.0) + 10 * rank
    if rank == 0:
        net.first._hp_mapping = SimpleNamespace(
            hp_fragment_address=address(0, 3), lp_fragment_address=address(0, 3)
        )
        net.second._hp_mapping = SimpleNamespace(
            hp_fragment_address=address(3, 1), lp_fragment_address=address(0, 1)
        )
    else:
        net.second._hp_mapping = SimpleNamespace(
            hp_fragment_address=address(0, 3), lp_fragment_address=address(1, 3)
        )
    inner = {flat: {'exp_avg': flat + 100, 'step': torch.tensor(7.0)}} if state else {flat: {}}
    optimizer = SimpleNamespace(
        bit16_groups=[[net.first, net.second]],
        single_partition_of_fp32_groups=[flat],
        optimizer=SimpleNamespace(state=inner),
        param_groups=[{'params': [flat], 'lr': 0.1, 'betas': (0.9, 0.99)}],
        loss_scaler=SimpleNamespace(cur_scale=8.0, dtype=torch.float16),
    )
    counters = dict(global_steps=3, global_samples=12, micro_steps=6, skipped_steps=1)
    return SimpleNamespace(
        module=net, optimizer=optimizer, zero_optimization_stage=lambda: 2, **counters
    )


def test_a_parameter_with_two_names_is_one():
    net = Net()
    parameters, aliases = named_trainable(net)
    assert list(parameters) == ['first', 'second'] and aliases == {'other': 'first'}
    assert full_shape(net.second) == (2, 2)
    # ZeRO-3 leaves an empty tensor that remembers.
    net.second.ds_shape = torch.Size([7, 3])
    assert full_shape(net.second) == (7, 3)


@pytest.mark.parametrize('stage', [0, 4])
def test_a_stage_without_shares_is_refused(stage):
    with pytest.raises(FLMMError, match=f'stage {stage}'):
        zero_stage(SimpleNamespace(zero_optimization_stage=lambda: stage))


def test_pieces_are_cut_where_the_processes_share():
    own = collect_pieces(engine_of(0)), collect_pieces(engine_of(1))
    assert [(name, piece['start']) for name, piece in own[0].items()] == [
        ('first', 0),
        ('second', 0),
    ]
    assert [(name, piece['start']) for name, piece in own[1].items()] == [('second', 1)]
    assert own[0]['second']['weight'].tolist() == [3]
    assert own[1]['second']['weight'].tolist() == [10, 11, 12]
    assert own[1]['second']['exp_avg'].tolist() == [110, 111, 112]
    assert own[1]['second']['scalars']['step'] == 7
    assert set(collect_pieces(engine_of(1), with_optimizer=False)['second']) == {'start', 'weight'}


def test_pieces_are_copies_of_their_numbers_only():
    engine = engine_of(1)
    piece = collect_pieces(engine)['second']['weight']
    assert piece.untyped_storage().nbytes() == 3 * 4
    pieces_of(engine)['second'].flat.zero_()
    assert piece.tolist() == [10, 11, 12]


def test_pieces_of_two_processes_fill_another_that_cuts_elsewhere():
    saved = [
        *collect_pieces(engine_of(0)).items(),
        *collect_pieces(engine_of(1)).items(),
    ]
    for rank, expected in ((0, [0, 1, 2, 3]), (1, [10, 11, 12, -1])):
        engine = engine_of(rank, state=False)
        flat = engine.optimizer.single_partition_of_fp32_groups[0]
        flat.fill_(-1)
        restore_optimizer(engine, saved)
        assert flat.tolist() == expected
        state = engine.optimizer.optimizer.state[flat]
        # Padding belongs to nobody.
        assert state['exp_avg'].tolist() == [v + 100 if v >= 0 else 0 for v in expected]
        assert state['step'] == 7
    with pytest.raises(KeyError, match='third'):
        restore_optimizer(engine_of(0), [('third', {'start': 0, 'weight': torch.zeros(1)})])


def test_counters_rates_and_the_loss_scale_come_back():
    saved = zero_scalars(engine_of(0))
    assert saved['groups'] == [{'lr': 0.1, 'betas': (0.9, 0.99)}]
    # What is no plain number stays out of the file.
    assert saved['loss_scaler'] == {'cur_scale': 8.0}
    engine = engine_of(1)
    engine.optimizer.param_groups[0]['lr'] = 0.5
    engine.optimizer.loss_scaler.cur_scale, engine.global_steps = 1.0, 0
    restore_scalars(engine, saved)
    assert engine.optimizer.param_groups[0]['lr'] == 0.1
    assert (engine.optimizer.loss_scaler.cur_scale, engine.global_steps) == (8.0, 3)
    with pytest.raises(ValueError):
        restore_scalars(engine, {**saved, 'groups': []})
