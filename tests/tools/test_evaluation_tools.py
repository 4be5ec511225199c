"""The thin scripts around evaluate, browse, check_golden and print_config."""

import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import flmm.apis.golden as golden

ROOT = Path(__file__).parents[2]
STRIPES = ROOT / 'tests/stripes'
CONFIG = str(STRIPES / 'stripes_config.py')
RECORDED = str(ROOT / 'tests/data/f_lmm_metrics')
sys.path.insert(0, str(STRIPES))


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main_of(name):
    return load_tool(name).main


@pytest.mark.parametrize(
    'name', ['test', 'compare', 'analyze', 'browse_dataset', 'check_golden', 'print_config']
)
def test_help_shows_examples(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main_of(name)(['--help'])
    assert ended.value.code == 0
    assert f'python tools/{name}.py' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [
        ('test', ['no_config.py', 'x.pth']),
        ('test', [CONFIG, 'no_checkpoint.pth']),
        ('test', [CONFIG, __file__, '--protocol', 'sentence']),
        ('test', [CONFIG, __file__, '--protocol', 'sentence=all']),
        ('test', [CONFIG, __file__, '--split', 'testC']),
        ('test', [CONFIG, __file__, '--cfg-options', 'log_level']),
        ('test', [CONFIG, __file__, '--launcher', 'slurm']),
        ('compare', ['no_run']),
        ('compare', ['no_run', 'no_other']),
        ('analyze', ['no_run']),
        ('browse_dataset', ['no_config.py']),
        ('browse_dataset', [CONFIG, '--split', 'nope']),
        ('print_config', ['no_config.py']),
    ],
)
def test_a_wrong_argument_is_one_line_and_a_failed_exit(name, arguments, capsys):
    assert main_of(name)(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1


def documented_commands():
    text = (ROOT / 'docs/evaluation.md').read_text().replace('\\\n', ' ')
    return [line for line in text.splitlines() if re.match(r'python tools/\w+\.py ', line)]


@pytest.mark.parametrize('command', documented_commands())
def test_documented_commands_have_the_flags_and_files_they_name(command):
    _, script, *arguments = shlex.split(command, comments=True)
    assert (ROOT / script).is_file()
    for word in arguments:
        assert not word.startswith('configs/') or (ROOT / word).is_file(), word
    source = (ROOT / script).read_text()
    if 'def parse_args' in source:
        load_tool(Path(script).stem).parse_args(arguments)


def test_test_passes_its_arguments_on(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        'flmm.apis.evaluate.evaluate', lambda *args, **kwargs: seen.update(kwargs, args=args)
    )
    arguments = ['c.py', 'x.pth', '--task', 'res, png', '--limit', '3', '--out', 'o.json']
    arguments += ['--show-dir', 's', '--work-dir', 'w', '--cfg-options', 'a=1', 'b=2']
    arguments += ['--split', 'val', '--resume', '--skip-invalid', '--protocol', 'concat=False']
    assert main_of('test')(arguments) == 0
    assert seen == {
        'args': (Path('c.py'), Path('x.pth')),
        'tasks': ['res', 'png'],
        'splits': ['val'],
        'protocol': {'concat': False},
        'resume': True,
        'skip_invalid': True,
        'show': False,
        'limit': 3,
        'out': Path('o.json'),
        'show_dir': Path('s'),
        'work_dir': Path('w'),
        'cfg_options': ['a=1', 'b=2'],
        'launcher': 'none',
        'needs_checkpoint': True,
        'judge': None,
    }


def test_browse_dataset_says_where_the_gallery_is(tmp_path, capsys):
    arguments = [CONFIG, '--split', 'png', '--part', 'stripes', '--out', str(tmp_path)]
    assert main_of('browse_dataset')(arguments) == 0
    out = capsys.readouterr().out
    assert '4 samples drawn, 1 skipped, of 5' in out and str(tmp_path / 'index.html') in out
    arguments[arguments.index('stripes')] = 'dots'
    assert main_of('browse_dataset')(arguments) == 1
    assert "no part 'dots'; it has stripes" in capsys.readouterr().err


def test_print_config_merges_overrides(capsys):
    assert main_of('print_config')([CONFIG, '--cfg-options', 'loader.batch_size=7']) == 0
    out = capsys.readouterr().out
    assert 'batch_size=7' in out and 'HalfRight' in out


@pytest.fixture
def metric_handler_only(monkeypatch):
    monkeypatch.setattr(golden, 'HANDLERS', ('flmm.apis.golden.metric_cases',))


def test_check_golden_passes_and_reports(metric_handler_only, tmp_path, capsys):
    report = tmp_path / 'report.json'
    assert main_of('check_golden')([RECORDED, '--json', str(report)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == 'PASS 60/60'
    content = json.loads(report.read_text())
    assert (content['passed'], content['failed']) == (60, 0)
    assert content['folders'][0]['results'][0]['tolerance'] == 'exact'


def test_check_golden_fails_with_a_count(metric_handler_only, tmp_path, capsys):
    for path in Path(RECORDED).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = json.loads((tmp_path / 'golden.json').read_text())
    changed['refseg']['cIoU'] = 1.0
    (tmp_path / 'golden.json').write_text(json.dumps(changed))
    assert main_of('check_golden')([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == 'FAIL 1/60'
    assert sum(line.strip().startswith('FAIL') for line in lines[:-1]) == 1


def test_check_golden_with_nothing_to_check_is_no_success(metric_handler_only, tmp_path, capsys):
    (tmp_path / 'case.json').write_text('{"lmm": "unheard-of"}')
    assert main_of('check_golden')([str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert 'not covered yet' in captured.out and '(unheard-of)' in captured.out
    assert 'PASS' not in captured.out and captured.err.startswith('error: ')
    assert main_of('check_golden')([str(tmp_path / 'none')]) == 2


def test_dist_test_runs_several_processes_on_the_cpu(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    checkpoint = tmp_path / 'head.pth'
    torch.save({'state_dict': {'weight': torch.zeros(1)}}, checkpoint)
    command = [ROOT / 'tools/dist_test.sh', CONFIG, checkpoint, '2', '--work-dir', tmp_path / 'run']
    result = subprocess.run(
        [*map(str, command), '--skip-invalid', '--cfg-options', 'log_level=ERROR'],
        env={
            **os.environ,
            'PYTHON': sys.executable,
            'PYTHONPATH': f'{ROOT}:{STRIPES}',
            'MASTER_PORT': str(port),
            'OMP_NUM_THREADS': '1',
            'CUDA_VISIBLE_DEVICES': '',
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    record = json.loads((tmp_path / 'run/results.json').read_text())
    assert record['machine']['processes'] == 2
    assert record['metrics']['res']['all']['final']['ciou'] == 100.0
    assert record['metrics']['png']['all']['final']['num_skipped'] == 1
    assert record['tasks']['res']['num_samples'] == 5
    assert result.stdout.count('res/ciou') == 1


@pytest.mark.parametrize('script', ['dist_test.sh', 'slurm_test.sh'])
def test_scripts_without_arguments_say_how_to_use_them(script):
    result = subprocess.run([ROOT / 'tools' / script], capture_output=True, text=True)
    assert result.returncode == 2 and f'Usage: tools/{script}' in result.stderr


def test_slurm_test_starts_one_process_per_gpu(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    environment = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '16'}
    command = [ROOT / 'tools/slurm_test.sh', 'part', 'job', 'c.py', 'x.pth', '--task', 'png']
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert '--gres gpu:8 --ntasks 16 --ntasks-per-node 8' in result.stdout
    assert result.stdout.rstrip().endswith('c.py x.pth --launcher slurm --task png')
