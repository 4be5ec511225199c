import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Helpers of these tests: fault_cases, tiny_training, ...
sys.path.append(str(HERE))


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


class Lab:
    """Runs the jobs of `lab.py` in one process that has everything imported."""

    def __init__(self, folder):
        self.folder, self.process = folder, None

    def __call__(self, name, **job):
        """Run a job in the work dir of a name; see `lab.py` for its keys."""
        if self.process is None:
            self._start()
        job.setdefault('strategy', 'none')
        job['work_dir'] = str(self.folder / name)
        self.process.stdin.write(json.dumps(job) + '\n')
        self.process.stdin.flush()
        result = json.loads(self.process.stdout.readline())
        result['losses'] = {int(step): loss for step, loss in result.get('losses', {}).items()}
        return result

    def _start(self):
        environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
        self.process = subprocess.Popen(
            [sys.executable, HERE / 'lab.py'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=HERE.parents[1],
        )
        while self.process.stdout.readline().strip() != 'ready':
            assert self.process.poll() is None, 'the lab could not start'

    def log(self, name):
        """What all processes of a work dir recorded: `(rank, step, loss, sample ids)`."""
        path = self.folder / f'{name}.log'
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()]

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(timeout=300)


@pytest.fixture(scope='session')
def lab(tmp_path_factory):
    """Runs small trainings in real processes: `lab('name', strategy='zero2', world=2, ...)`."""
    started = Lab(tmp_path_factory.mktemp('lab'))
    yield started
    started.close()
