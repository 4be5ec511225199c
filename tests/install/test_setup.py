"""Build flmm's own wheels for real; nothing is downloaded, nothing is installed here."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIM = {'_flmm_xtuner_shim.py', 'flmm_xtuner_shim.pth'}


@pytest.fixture
def source(tmp_path):
    """A copy of what the wheel is made of: building writes beside the sources."""
    target = tmp_path / 'source'
    ignore = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / 'flmm', target / 'flmm', ignore=ignore)
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE'):
        shutil.copy(ROOT / name, target / name)
    return target


@pytest.mark.parametrize('kind', ['build_wheel', 'build_editable'])
def test_wheels_bring_the_shim_to_the_top_of_site_packages(source, tmp_path, kind):
    code = f'from setuptools import build_meta; build_meta.{kind}({str(tmp_path)!r})'
    subprocess.run([sys.executable, '-c', code], cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob('flmm-*.whl'))) as wheel:
        assert set(wheel.namelist()) >= SHIM
        record = next(name for name in wheel.namelist() if name.endswith('/RECORD'))
        # What RECORD lists, `pip uninstall flmm` removes.
        recorded = {line.split(',')[0] for line in wheel.read(record).decode().splitlines()}
        metadata = wheel.read(record.replace('RECORD', 'METADATA')).decode()
    assert recorded >= SHIM
    required = [
        line.split(': ')[1] for line in metadata.splitlines() if line.startswith('Requires-Dist')
    ]
    core = [line for line in required if 'extra ==' not in line]
    assert not [line for line in core if line.startswith(('torch', 'mmcv', 'xtuner', 'deepspeed'))]
    assert 'LICENSE' in metadata or 'Apache-2.0' in metadata
