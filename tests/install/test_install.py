import importlib.util
import os
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def install():
    spec = importlib.util.spec_from_file_location('install', ROOT / 'tools/install/install.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(path, body):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)
    return path


def find_python(path, tmp_path, **environment):
    """Run find_python.sh with only these commands, beside the shell, on the PATH."""
    return subprocess.run(
        ['/bin/sh', str(ROOT / 'tools/install/find_python.sh')],
        env={'PATH': str(path), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


def test_a_suitable_python_is_found_behind_one_that_does_not_run(tmp_path):
    path = tmp_path / 'bin'
    script(path / 'python3.11', 'echo "command not found" >&2; exit 127')
    good = script(path / 'python3.12', f'exec {sys.executable} "$@"')
    assert find_python(path, tmp_path).stdout.strip() == str(good)


def test_without_a_suitable_python_one_sentence_says_so(tmp_path):
    path = tmp_path / 'bin'
    script(path / 'python3', 'echo "Python 3.9.18"; exit 1')
    result = find_python(path, tmp_path)
    assert result.returncode == 1 and result.stdout == ''
    assert 'needs Python 3.10, 3.11 or 3.12 and found Python 3.9.18' in result.stderr
    assert result.stderr.count('\n') == 1


def test_a_named_python_wins_and_a_wrong_one_is_refused(tmp_path):
    path = tmp_path / 'bin'
    script(path / 'python3.11', f'exec {sys.executable} "$@"')
    assert find_python(path, tmp_path, PYTHON=sys.executable).stdout.strip() == sys.executable
    result = find_python(path, tmp_path, PYTHON='/no/python')
    assert result.returncode == 1
    assert 'PYTHON=/no/python is none of them' in result.stderr


def test_a_small_disk_is_refused_before_anything_is_written(install, tmp_path, monkeypatch, capsys):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(install.shutil, 'disk_usage', lambda path: usage(9e9, 6e9, 3e9))
    assert install.main(['--venv', str(tmp_path / 'venv')]) == 1
    assert 'needs 11 GB of free disk' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_old_python_is_refused(install, tmp_path, monkeypatch, capsys):
    version = namedtuple('version', 'major minor')(3, 13)
    monkeypatch.setattr(install.sys, 'version_info', version)
    assert install.main(['--venv', str(tmp_path / 'venv')]) == 1
    assert 'needs Python 3.10, 3.11 or 3.12' in capsys.readouterr().err


def test_a_missing_compiler_or_header_is_one_sentence(install, tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(install.InstallError, match=r'a C\+\+ compiler is missing'):
        install.check_compiler()
    monkeypatch.setenv('CXX', 'sh')
    monkeypatch.setattr(install.sysconfig, 'get_path', lambda name: str(tmp_path))
    with pytest.raises(install.InstallError, match=r'C headers are missing.*python3\.\d+-dev'):
        install.check_compiler()


@pytest.mark.parametrize(
    ('output', 'cause'),
    [
        ('x NewConnectionError y\nERROR: No matching distribution found', 'cannot be reached'),
        ('ERROR: No matching distribution found for torch==2.11.0', 'lacks a version'),
        ('OSError: [Errno 28] No space left on device', 'the disk is full'),
        ('g++: fatal error: Killed signal terminated program cc1plus', 'MAX_JOBS=1'),
        ('something else', 'an installation step failed'),
    ],
)
def test_a_failure_of_pip_is_explained(install, output, cause):
    assert cause in install.explain(output)


def test_a_failing_step_shows_the_end_of_its_own_log(install, tmp_path):
    installer = install.Installer(tmp_path)
    installer.log.write_text('an older step: No space left on device\n')
    code = 'print("WARNING: Location x is ignored"); print("the reason"); raise SystemExit(3)'
    with pytest.raises(install.InstallError) as error:
        installer._call([sys.executable, '-c', code])
    assert 'the reason' in str(error.value)
    assert 'disk is full' not in str(error.value) and 'Location' not in str(error.value)


def test_half_installed_packages_of_a_killed_pip_are_removed(install, tmp_path):
    for name in ('whole-1.dist-info', 'half-1.dist-info', '~orch'):
        (tmp_path / name).mkdir()
    (tmp_path / 'whole-1.dist-info' / 'RECORD').touch()
    install.Installer._remove_remains(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['whole-1.dist-info']


def test_only_a_whole_wheel_with_ops_is_taken_from_the_cache(install, tmp_path):
    wheels = {'ops': 'mmcv/_ext.cpython-311.so', 'lite': 'mmcv/__init__.py'}
    for name, member in wheels.items():
        with zipfile.ZipFile(tmp_path / name, 'w') as archive:
            archive.writestr(member, 'x' * 1000)
    (tmp_path / 'cut').write_bytes((tmp_path / 'ops').read_bytes()[:500])
    assert [install.has_ops(tmp_path / name) for name in ('ops', 'lite', 'cut', 'none')] == [
        True,
        False,
        False,
        False,
    ]


def test_the_wheel_cache_is_keyed_by_python_and_torch(install, tmp_path, monkeypatch):
    monkeypatch.setenv('FLMM_WHEEL_CACHE', str(tmp_path))
    installer = install.Installer(tmp_path / 'venv')
    monkeypatch.setattr(installer, '_output', lambda code: '2.99.0+cpu')
    tag = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    name = f'mmcv-2.1.0-{tag}-{tag}-linux_{os.uname().machine}.whl'
    for torch in ('2.98.0+cpu', '2.99.0+cpu'):
        (tmp_path / f'{tag}-torch{torch}').mkdir()
        with zipfile.ZipFile(tmp_path / f'{tag}-torch{torch}' / name, 'w') as archive:
            archive.writestr('mmcv/_ext.so', '')
    assert installer._mmcv_wheel() == tmp_path / f'{tag}-torch2.99.0+cpu' / name


def test_a_failed_build_leaves_nothing_in_the_wheel_cache(install, tmp_path, monkeypatch):
    monkeypatch.setenv('FLMM_WHEEL_CACHE', str(tmp_path / 'cache'))
    installer = install.Installer(tmp_path)
    monkeypatch.setattr(installer, '_output', lambda code: '2.99.0')
    monkeypatch.setattr(install, 'check_compiler', lambda: None)

    def build(folder, jobs):
        (Path(folder) / 'mmcv-half.whl').touch()
        raise install.InstallError('stopped')

    monkeypatch.setattr(installer, '_build_mmcv', build)
    with pytest.raises(install.InstallError, match='stopped'):
        installer._mmcv_wheel()
    assert not [path for path in (tmp_path / 'cache').rglob('*') if path.is_file()]


def test_a_finished_installation_is_recognised_until_a_requirement_changes(
    install, tmp_path, monkeypatch
):
    installer = install.Installer(tmp_path)
    (tmp_path / 'bin').mkdir()
    installer.python.touch()
    assert not installer.is_done()
    installer.stamp.write_text(install.fingerprint())
    assert installer.is_done()
    assert install.main(['--venv', str(tmp_path)]) == 0
    monkeypatch.setattr(install, 'REQUIREMENTS', tmp_path)
    (tmp_path / 'torch.txt').write_text('torch==9')
    assert not installer.is_done()
    assert install.main(['--venv', str(tmp_path), '--check']) == 1


def test_every_requirement_is_pinned_by_itself_or_by_the_constraints():
    def names(path):
        lines = path.read_text().splitlines()
        return [line for line in lines if line.strip() and not line.startswith('#')]

    def key(line):
        return line.split('==')[0].lower().replace('_', '-')

    folder = ROOT / 'requirements'
    pinned = {key(line) for line in names(folder / 'constraints.txt') if '==' in line}
    for path in folder.glob('*.txt'):
        for line in names(path):
            assert '==' in line or key(line) in pinned, f'{path.name}: {line}'
