import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


class Canary:
    """Pickles to a call that writes a file: what a malicious checkpoint does."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture
def canary(tmp_path):
    return Canary(tmp_path / 'canary')


@pytest.fixture
def tiny_config(tmp_path, monkeypatch):
    """The path of a small training config, under a name of its own: mmengine keeps one log each."""
    monkeypatch.syspath_prepend(str(HERE))
    path = tmp_path / f'{tmp_path.name}.py'
    shutil.copy(HERE / 'tiny_config.py', path)
    yield path
    sys.modules.pop('tiny_training', None)
