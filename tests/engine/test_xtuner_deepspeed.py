"""The commands of the documentation, with DeepSpeed, in new processes."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flmm.engine.latest import find_latest_training_state, read_meta
from flmm.engine.weights import load_weights

ROOT = Path(__file__).parents[2]
ZERO2 = ROOT / 'configs/deepspeed/zero2_fp32.json'


def run(*command, **variables):
    # This clone's flmm, whatever is installed.
    paths = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    environment['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{environment["PATH"]}'
    # A port of its own: another run of the suite may be under way on the machine.
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment |= {'PYTHON': sys.executable, 'MASTER_PORT': str(port), **variables}
    return subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, cwd=ROOT
    )


@pytest.fixture
def config(tiny_config):
    with open(tiny_config, 'a') as file:
        file.write("\ndefault_scope = 'flmm'\n")
    return tiny_config


def test_xtuner_train_writes_and_resumes_checkpoints_of_flmm(config, tmp_path):
    whole, again = tmp_path / 'whole', tmp_path / 'again'
    xtuner = Path(sys.executable).parent / 'xtuner'
    first = run(xtuner, 'train', config, '--work-dir', whole, '--deepspeed', ZERO2)
    assert (whole / 'iter_4.pth' / 'manifest.json').is_file(), first.stderr[-3000:]
    second = run(
        *(xtuner, 'train', config, '--work-dir', again, '--deepspeed', ZERO2),
        *('--resume', whole / 'iter_2.pth'),
    )
    assert (again / 'iter_4.pth' / 'manifest.json').is_file(), second.stderr[-3000:]
    expected, weights = (load_weights(folder / 'iter_4.pth') for folder in (whole, again))
    assert not any(name.startswith('frozen') for name in weights)
    assert all(weights[name].equal(expected[name]) for name in expected)


def test_factors_of_learning_rates_hold_and_muon_is_refused(config, tmp_path):
    with open(config, 'a') as file:
        file.write(
            'from flmm.engine.muon import MuonConstructor\n'
            'optim_wrapper.update(\n'
            '    paramwise_cfg=dict(custom_keys={"head.1.weight": dict(lr_mult=0.0)}),\n'
            '    constructor=MuonConstructor,\n'
            '    optimizer=dict(muon_lr=0.2),\n'
            ')\n'
        )
    command = (sys.executable, ROOT / 'tools/train.py', config, '--deepspeed', ZERO2, '--work-dir')
    refused = run(*command, tmp_path / 'muon')
    assert refused.returncode == 1 and 'Train without --deepspeed' in refused.stderr
    # The way out that the error names.
    named = re.search(r'--cfg-options .*OptimWrapperConstructor', refused.stderr)
    done = run(*command, tmp_path / 'adamw', *named[0].split())
    assert done.returncode == 0, done.stderr[-3000:]
    first, last = (load_weights(tmp_path / f'adamw/iter_{step}.pth') for step in (2, 4))
    assert first['head.1.weight'].equal(last['head.1.weight'])
    assert not first['head.1.bias'].equal(last['head.1.bias'])


def test_dist_train_runs_two_processes_with_zero_and_starts_again_after_a_failure(config, tmp_path):
    work_dir = tmp_path / 'work'
    result = run(
        *(ROOT / 'tools/dist_train.sh', config, 2, '--work-dir', work_dir),
        *('--deepspeed', ZERO2, '--cfg-options', 'model.fail_at=3'),
        MAX_RESTARTS='1',
    )
    # It fails at its third step, goes on from iter_2, and has two steps to go.
    assert result.returncode == 0, result.stderr[-3000:]
    latest = find_latest_training_state(work_dir)
    assert latest.name == 'iter_4.pth' and read_meta(latest)['iter'] == 4
    assert len(list(latest.glob('rank_*.pth'))) == 2
