"""Real trainings that are killed, starved of disk, moved to other processes (short versions).

The long ones are in tests/long.
"""

import json

import fault_cases
import pytest
from fault_cases import SETUPS
from safetensors.torch import load_file

from flmm.engine.export import export_weights
from flmm.engine.latest import find_latest_training_state
from flmm.engine.weights import load_weights

EQUAL = {'dropout': 0, 'steps': 8, 'interval': 4}


@pytest.mark.parametrize('setup', ['one process, 2 workers', 'ZeRO-2, 2 processes'])
def test_a_killed_run_ends_bitwise_as_if_it_had_not_been(lab, setup):
    fault_cases.kill_at_steps(lab, f'step-{setup}', SETUPS[setup], steps=14, kills=2, interval=4)


@pytest.mark.parametrize('setup, points', [('one process', 5), ('ZeRO-2, 2 processes', 3)])
def test_a_kill_inside_saving_leaves_a_whole_checkpoint(lab, setup, points):
    fault_cases.kill_while_saving(lab, f'save-{setup}', SETUPS[setup], points, steps=6)


@pytest.mark.parametrize('setup', ['one process', 'ZeRO-2, 2 processes'])
def test_damage_to_any_file_of_a_checkpoint_is_noticed(lab, setup):
    fault_cases.damage_each_file(lab, f'damage-{setup}', SETUPS[setup], truncations=3)


@pytest.mark.parametrize('policy', ['stop', 'continue'])
def test_a_full_disk_costs_at_most_the_new_checkpoint(lab, policy):
    job = dict(SETUPS['ZeRO-2, 2 processes'], steps=9, interval=3)
    name = f'full-{policy}'
    # What a process may write in all: enough for one checkpoint, not for two.
    starved = lab(name, **job, disk_bytes=60_000, on_write_error=policy)
    if policy == 'continue':
        assert starved['error'] is None and len(starved['losses']) == 9
    else:
        assert 'CheckpointWriteError' in starved['error']
        assert 'No space left' in starved['error'] and 'iter_6' in starved['error']
    assert find_latest_training_state(lab.folder / name).name == 'iter_3.pth'
    assert [p.name for p in (lab.folder / name).glob('*iter*')] == ['iter_3.pth']


def test_one_two_and_four_processes_take_the_same_steps_over_the_same_samples(lab):
    runs = {
        world: lab(f'world-{world}', strategy='ddp', world=world, batch=8 // world, **EQUAL)
        for world in (1, 2, 4)
    }
    samples = {}
    for world, run in runs.items():
        assert run['error'] is None, run['error']
        assert run['losses'] == pytest.approx(runs[1]['losses'], abs=1e-5)
        steps = {}
        for _, step, _, ids in lab.log(f'world-{world}'):
            steps.setdefault(step, []).extend(ids)
        samples[world] = {step: sorted(ids) for step, ids in steps.items()}
    assert samples[1] == samples[2] == samples[4]


def test_all_strategies_train_alike_and_export_the_same_folder(lab):
    one = lab('same-none', batch=4, **EQUAL)
    assert one['error'] is None, one['error']
    config = {'model': {'type': 'SmallNet', 'part': {'pretrained': 'some/base'}}}
    folders = {}
    for strategy in ('none', 'ddp', 'zero1', 'zero2', 'zero3'):
        name = f'same-{strategy}'
        if strategy != 'none':
            run = lab(name, strategy=strategy, world=2, batch=2, **EQUAL)
            assert run['error'] is None, run['error']
            assert run['losses'] == pytest.approx(one['losses'], abs=1e-5)
        folder = lab.folder / f'export-{strategy}'
        export_weights(config, lab.folder / name / 'iter_8.pth', folder)
        folders[strategy] = folder
    expected = load_file(folders['none'] / 'model.safetensors')
    assert set(expected) == {
        *(f'head.0.{kind}' for kind in ('weight', 'bias')),
        *(f'out.{kind}' for kind in ('weight', 'bias')),
        'scale',
    }
    about = json.loads((folders['none'] / 'config.json').read_text())
    assert about['frozen_bases'] == [{'used_as': 'model.part', 'name': 'some/base', 'sha256': None}]
    for folder in folders.values():
        tensors = load_file(folder / 'model.safetensors')
        assert tensors.keys() == expected.keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == expected[name].dtype and tensor.shape == expected[name].shape
            assert tensor.sub(expected[name]).abs().max() < 1e-5
        assert json.loads((folder / 'config.json').read_text()) == about
        readme = (folder / 'README.md').read_text()
        assert readme == (folders['none'] / 'README.md').read_text() and 'some/base' in readme


def test_a_run_goes_on_with_other_processes_and_stages_or_says_why_not(lab):
    job = dict(EQUAL, steps=12)
    whole = lab('move-whole', strategy='zero2', world=2, batch=2, **job)
    lab('move', strategy='zero2', world=2, batch=2, kill_step=6, **job)
    moved = lab('move', strategy='zero3', world=1, batch=4, resume=True, **job)
    assert moved['error'] is None, moved['error']
    assert min(moved['losses']) == 5
    assert moved['losses'] == pytest.approx(
        {step: loss for step, loss in whole['losses'].items() if step > 4}, abs=1e-5
    )
    refused = lab('move', strategy='zero2', world=2, batch=4, resume=True, **job)
    assert 'was trained with 4 samples in a batch' in refused['error']
    assert 'batch_size=2' in refused['error']


def test_accumulated_gradients_are_never_cut_in_half(lab):
    # Due at 4 and 8, but steps end at 3, 6, 9: saved at 6 and 9.
    for strategy, world in (('none', 1), ('zero2', 2)):
        job = dict(strategy=strategy, world=world, steps=12, interval=4, accumulation=3)
        name = f'accumulate-{strategy}'
        whole = lab(f'{name}-whole', **job)
        lab(name, **job, kill_step=8)
        assert find_latest_training_state(lab.folder / name).name == 'iter_6.pth'
        resumed = lab(name, **job, resume=True)
        assert resumed['error'] is None, resumed['error']
        assert resumed['digest'] == whole['digest']


def test_zero_3_in_bf16_ends_bitwise_as_if_it_had_not_been_killed(lab):
    job = dict(strategy='zero3', world=2, steps=9, interval=3, bf16=True)
    whole = lab('bf16-whole', **job)
    lab('bf16', **job, kill_step=4)
    resumed = lab('bf16', **job, resume=True)
    assert resumed['losses'] == {step: whole['losses'][step] for step in resumed['losses']}
    expected, weights = (
        load_weights(lab.folder / name / 'iter_9.pth') for name in ('bf16-whole', 'bf16')
    )
    assert all(weights[name].equal(expected[name]) for name in expected)
    # The rounded weights too, gathered at the end.
    assert resumed['digest'] == whole['digest']
