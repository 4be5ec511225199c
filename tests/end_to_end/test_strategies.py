"""The main job on two processes, as a user types it: every strategy exports the same folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from flmm.datasets.toy.build import ToySettings, build_toy_world

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/toy/f_lmm_tiny_llava_png_refcoco.py'
OPTIONS = (
    'train_cfg.max_iters=3',
    'default_hooks.checkpoint.interval=3',
    'default_hooks.logger.interval=1',
)


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """A folder like a clone's: the configs' relative paths lead to a small toy world."""
    folder = tmp_path_factory.mktemp('workspace')
    build_toy_world(folder / 'data/toy', ToySettings(num_train=12, num_val=1), quiet=True)
    (folder / 'checkpoints').symlink_to(ROOT / 'checkpoints')
    return folder


def free_port():
    with socket.socket() as opened:
        opened.bind(('127.0.0.1', 0))
        return opened.getsockname()[1]


def run(workspace, *arguments):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    environment.update(PYTHON=sys.executable, MASTER_PORT=str(free_port()))
    command = [str(a) for a in arguments]
    done = subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def losses_of(workspace, name):
    (log,) = (workspace / name).glob('*/vis_data/scalars.json')
    return [line['loss'] for line in map(json.loads, log.read_text().splitlines())]


def export(workspace, name):
    tool = ROOT / 'tools/export.py'
    folder = workspace / name / 'export'
    run(workspace, sys.executable, tool, CONFIG, workspace / name / 'iter_3.pth', folder)
    return load_file(folder / 'model.safetensors'), json.loads((folder / 'config.json').read_text())


@pytest.fixture(scope='module')
def alone(workspace):
    """What one process exports after three steps of 4 samples."""
    tool = ROOT / 'tools/train.py'
    run(
        workspace,
        *(sys.executable, tool, CONFIG, '--work-dir', 'alone', '--cfg-options', *OPTIONS),
        'train_dataloader.batch_size=4',
    )
    return export(workspace, 'alone')


@pytest.mark.parametrize('strategy', ['ddp', 'zero2_fp32'])
def test_two_processes_train_and_export_as_one_does(workspace, alone, strategy):
    file = ROOT / f'configs/deepspeed/{strategy}.json'
    run(
        workspace,
        *(ROOT / 'tools/dist_train.sh', CONFIG, 2, '--work-dir', strategy),
        *(() if strategy == 'ddp' else ('--deepspeed', file)),
        *('--cfg-options', *OPTIONS, 'train_dataloader.batch_size=2'),
    )
    assert losses_of(workspace, strategy) == pytest.approx(losses_of(workspace, 'alone'), abs=1e-5)
    tensors, config = export(workspace, strategy)
    assert config == alone[1] and tensors.keys() == alone[0].keys()
    for name, tensor in tensors.items():
        # A bias of all keys changes no attention: its gradient is rounding, of which Adam makes
        # steps as large as any.
        if not name.endswith('k_proj.bias'):
            assert torch.allclose(tensor, alone[0][name], atol=1e-4), name
