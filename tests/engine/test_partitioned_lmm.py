import pytest
from lab_layers import Layer, Stack
from torch import nn

from flmm.engine.partitioned_lmm import find_layers, find_lmms, trained_layers


def test_layers_are_what_module_lists_hold_and_call():
    stack = Stack()
    assert find_layers(stack) == [*stack.layers, *stack.blocks[0]]
    outer = nn.ModuleList([nn.Sequential(Layer(), nn.ModuleList([Layer()])), nn.Tanh()])
    # What lies inside a layer is a part of it; what has no parameters needs no gathering.
    assert find_layers(nn.Sequential(outer)) == [outer[0]]
    assert find_layers(nn.Linear(2, 2)) == []


def test_layers_of_a_real_lmm_are_those_of_both_its_stacks(tiny_llava):
    from flmm.models.lmms import HFLMM

    lmm = HFLMM(str(tiny_llava))
    layers = find_layers(lmm)
    assert layers == [*lmm.vision_layers(), *lmm.decoder().layers] and len(layers) == 6
    system = nn.ModuleDict({'lmm': lmm, 'head': nn.Linear(2, 2)})
    assert find_lmms(system) == [lmm]
    lmm.requires_grad_(False)
    assert trained_layers(system) == []
    # Adapters in a layer leave the rest of it frozen.
    next(layers[0].parameters()).requires_grad_(True)
    assert trained_layers(system) == []
    layers[0].requires_grad_(True)
    assert trained_layers(system) == [layers[0]]


def test_processes_that_need_different_layers_help_each_other(lab):
    first, second = lab('layers', world=2, call='unequal_work')['returned']
    assert first['met'] == [0, 1] and second['met'] is None
    # To the last bit what the whole stack gives: 3 + 0 + 1 + 1 and 1 + 2 + 1 + 1 + 1 runs.
    assert first['equal'] == [True] * 5 and second['equal'] == [True] * 6
    # Too little memory in a layer is no reason for the other to wait.
    assert first['error'] == 'out of memory' and 'error' not in second
    for found in (first, second):
        # 4 layers of 9 + 3 + 1 numbers, one whose 9 are shared with a head and stay whole.
        assert (found['layers'], found['all'], found['here']) == (5, 4 * 13 + 4, 9)
        # Halves, rounded up.
        assert found['share'] == 4 * (5 + 2 + 1) + (2 + 1)


@pytest.mark.parametrize('call', ['gradients', 'recomputed_gradients'])
def test_gradients_through_layers_that_were_dropped_are_those_of_whole_ones(lab, call):
    first, second = lab(call, world=2, call=call)['returned']
    # Of a prompt before the layers and an adapter inside each: 2 passes here, 1 there.
    assert first['equal'] == [True] * 2 * 6 and second['equal'] == [True] * 6
    # Only what is shared with the head and the adapters are whole afterwards.
    assert first['here'] == second['here'] == 9 + 5 * 3


def test_adapters_in_shared_out_layers_train_as_in_one_process(lab):
    job = dict(model='adapters', noise=False, steps=6, interval=3)
    one = lab('adapters-none', batch=4, **job)
    assert one['error'] is None, one['error']
    two, three = (
        lab(f'adapters-{strategy}', strategy=strategy, world=2, batch=2, **job)
        for strategy in ('zero2', 'zero3')
    )
    assert three['error'] is None, three['error']
    assert three['losses'] == pytest.approx(one['losses'], abs=1e-5)
    assert (three['losses'], three['digest']) == (two['losses'], two['digest'])
    # And over a kill.
    lab('adapters-killed', strategy='zero3', world=2, batch=2, kill_step=5, **job)
    resumed = lab('adapters-killed', strategy='zero3', world=2, batch=2, resume=True, **job)
    assert min(resumed['losses']) == 4 and resumed['digest'] == three['digest']


def test_layers_that_are_trained_as_a_whole_are_refused(lab):
    refused = lab('trained', model='trained', strategy='zero3', world=2)
    assert 'trains 3 whole layers of its LMM' in refused['error']
    assert 'deepspeed_zero2' in refused['error']
