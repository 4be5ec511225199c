"""Install everything flmm needs into `.venv`: what `make install` runs.

Only the standard library, because it runs before anything is installed. It may be killed at any
time and run again: what is done is not done twice. When nothing is to do it ends at once.

Environment:
    TORCH_INDEX_URL: Where to get torch and torchvision from, for instance
        https://download.pytorch.org/whl/cpu (a fifth of the download). Default: PyPI.
    FLMM_WHEEL_CACHE: Where the built mmcv wheel is kept. Default: ~/.cache/flmm/wheels.
    MAX_JOBS: How many files of mmcv to compile at once. Default: one per core, 2 GB each.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'
PYTHON_VERSIONS = ((3, 10), (3, 12))
# Measured: 6.0 GB of packages (most of it torch's CUDA libraries), 3.5 GB of downloads in pip's
# cache, 0.5 GB while mmcv is compiled.
NEEDED_GB = 11
NEEDED_GB_AFTER_TORCH = 2
CHECKED_IMPORTS = 'mmcv.ops, mmdet.models, mmseg.models, xtuner.tools.train'

_CAUSES = (
    (r'No space left on device', 'the disk is full; free some space'),
    (
        r'Killed signal|killed signal|std::bad_alloc|out of memory',
        'the compiler ran out of memory; try again with: MAX_JOBS=1 make install',
    ),
    (
        r'Temporary failure in name resolution|Name or service not known|Network is unreachable|'
        r'Connection refused|ConnectTimeout|NewConnectionError|Read timed out|ReadTimeout|'
        r'Max retries exceeded|ProxyError|SSLError|Connection reset',
        'the package registry cannot be reached; check the network (proxy, pip config) and run it '
        'again',
    ),
    (
        r'No matching distribution found',
        'the package registry lacks a version that flmm needs; check which registry pip is '
        'configured for (pip config list)',
    ),
    (r'Permission denied', 'a file or folder may not be written; check who owns it'),
)


class InstallError(Exception):
    """Something is missing; the message says what, in one sentence."""


class Installer:
    """The steps of the installation, in order.

    Args:
        venv: The virtual environment to make or complete.
    """

    def __init__(self, venv):
        self.venv = venv
        self.python = venv / 'bin' / 'python'
        self.stamp = venv / '.flmm-installed'
        self.log = venv / 'flmm-install.log'
        cache = os.environ.get('FLMM_WHEEL_CACHE') or '~/.cache/flmm/wheels'
        self.wheel_cache = Path(cache).expanduser().resolve()
        self._started = time.monotonic()

    def is_done(self):
        """Tell whether this very set is installed already."""
        try:
            return self.stamp.read_text() == fingerprint() and self.python.exists()
        except OSError:
            return False

    def run(self):
        """Do every step that is not done yet."""
        check_python()
        self._check_disk()
        self.venv.mkdir(parents=True, exist_ok=True)
        with open(self.venv / '.flmm-install.lock', 'w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                print('waiting for another installation into this folder to end ...', flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if self.is_done():
                return
            self._steps()

    def _steps(self):
        self.stamp.unlink(missing_ok=True)
        self.log.write_text('')
        print(f'Installing flmm into {self.venv} (details: {self.log})', flush=True)
        self._step('virtual environment', self._make_venv)
        self._step('build tools', lambda: self._pip('--upgrade', 'pip', *requirement('build')))
        self._step('torch and torchvision (about 3 GB from PyPI: minutes)', self._install_torch)
        self._step(
            'transformers and the other libraries',
            lambda: self._pip(*requirement('base'), *requirement('test')),
        )
        wheel = self._mmcv_wheel()
        self._step('mmcv', lambda: self._pip('--no-deps', str(wheel)))
        self._step(
            'mmengine, mmdet, mmsegmentation, xtuner, deepspeed',
            lambda: self._pip('--no-deps', '--no-build-isolation', *requirement('no_deps')),
        )
        self._step('flmm', lambda: self._pip('--no-deps', '--no-build-isolation', '-e', str(ROOT)))
        self._step('check that all of it imports', self._check_imports)
        write_atomically(self.stamp, fingerprint())
        print(f'Installed in {minutes(time.monotonic() - self._started)}.', flush=True)

    def _step(self, name, action):
        print(f'  {name} ... ', end='', flush=True)
        started = time.monotonic()
        try:
            action()
        except BaseException:
            print('failed', flush=True)
            raise
        print(f'done in {minutes(time.monotonic() - started)}', flush=True)

    def _check_disk(self):
        folder = next(path for path in (self.venv, *self.venv.parents) if path.exists())
        has_torch = any(self.venv.glob('lib/python*/site-packages/torchvision-*.dist-info/RECORD'))
        needed = NEEDED_GB_AFTER_TORCH if has_torch else NEEDED_GB
        free = shutil.disk_usage(folder).free / 1e9
        if free < needed:
            raise InstallError(
                f'flmm needs {needed} GB of free disk for its installation, and {folder} has '
                f'{free:.1f} GB.'
            )

    def _make_venv(self):
        version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
        if self.python.exists() and (self.venv / 'lib' / version).is_dir() and self._pip_works():
            self._remove_remains(self.venv / 'lib' / version / 'site-packages')
            return
        # Broken, or of another Python: begin anew, but keep the log and the lock.
        for name in ('bin', 'lib', 'lib64', 'include', 'share', 'pyvenv.cfg'):
            path = self.venv / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        try:
            self._call([base_python(), '-m', 'venv', str(self.venv)])
        except InstallError as error:
            if 'ensurepip' not in str(error) and 'No module named venv' not in str(error):
                raise
            raise InstallError(
                f'Python cannot make a virtual environment; install its venv module (Debian and '
                f'Ubuntu: sudo apt install {version}-venv).'
            ) from error

    def _pip_works(self):
        command = [str(self.python), '-m', 'pip', '--version']
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    @staticmethod
    def _remove_remains(site_packages):
        # A killed pip leaves packages without RECORD, which it writes last, and takes them for
        # installed; and its own half-removed folders, which begin with a tilde.
        for folder in site_packages.glob('*.dist-info'):
            if not (folder / 'RECORD').is_file():
                shutil.rmtree(folder)
        for folder in site_packages.glob('~*'):
            shutil.rmtree(folder, ignore_errors=True)

    def _install_torch(self):
        # An extra index, because torch's own lacks the pinned versions of its dependencies; pip
        # prefers its 2.11.0+cpu to PyPI's 2.11.0.
        index = os.environ.get('TORCH_INDEX_URL')
        self._pip(*requirement('torch'), *(['--extra-index-url', index] if index else []))

    def _mmcv_wheel(self):
        """Find or build the mmcv wheel for this Python and this torch.

        pip's own cache knows a wheel by its name alone and would hand out one that was compiled
        against another torch.
        """
        torch_version = self._output('import torch; print(torch.__version__)')
        tag = f'cp{sys.version_info[0]}{sys.version_info[1]}'
        folder = self.wheel_cache / f'{tag}-torch{torch_version}'
        name = requirement_line('mmcv').replace('==', '-')
        for wheel in sorted(folder.glob(f'{name}-{tag}-*_{platform.machine()}.whl')):
            if has_ops(wheel):
                return wheel
        check_compiler()
        jobs = os.environ.get('MAX_JOBS') or str(default_jobs())
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InstallError(
                f'the wheel cache {folder} cannot be made ({error.strerror}); set '
                f'FLMM_WHEEL_CACHE to a folder of yours.'
            ) from error
        with tempfile.TemporaryDirectory(prefix='.building-', dir=folder) as building:
            self._step(
                f'compile mmcv, {jobs} files at a time (about 20 minutes of one core, once '
                f'per machine)',
                lambda: self._build_mmcv(building, jobs),
            )
            built = next(Path(building).glob('mmcv-*.whl'))
            if not has_ops(built):
                raise InstallError(f'mmcv was built without its ops; see {self.log}.')
            os.replace(built, folder / built.name)
        return folder / built.name

    def _build_mmcv(self, folder, jobs):
        environment = {
            'MMCV_WITH_OPS': '1',
            'FORCE_CUDA': '0',
            # mmcv compiles CUDA ops, and asks for nvcc, where torch sees a GPU.
            'CUDA_VISIBLE_DEVICES': '',
            'MAX_JOBS': jobs,
        }
        self._call(
            [
                str(self.python),
                '-m',
                'pip',
                'wheel',
                '--no-build-isolation',
                '--no-deps',
                '--no-cache-dir',
                '-w',
                folder,
                requirement_line('mmcv'),
            ],
            environment,
        )

    def _check_imports(self):
        self._call(
            [str(self.python), '-c', f'import {CHECKED_IMPORTS}'],
            {'CUDA_VISIBLE_DEVICES': ''},
        )

    def _pip(self, *arguments):
        self._call(
            [
                str(self.python),
                '-m',
                'pip',
                'install',
                '--disable-pip-version-check',
                '--no-input',
                *arguments,
                '-c',
                str(REQUIREMENTS / 'constraints.txt'),
            ],
            {'DS_BUILD_OPS': '0'},
        )

    def _output(self, code):
        command = [str(self.python), '-c', code]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    def _call(self, command, environment=None):
        """Run a command, its output going to the log; explain a failure in one sentence."""
        with open(self.log, 'a', encoding='utf-8') as log:
            log.write('\n$ ' + ' '.join(command) + '\n')
            log.flush()
            position = log.tell()
            result = subprocess.run(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                cwd=ROOT,
                check=False,
            )
        if result.returncode == 0:
            return
        output = self.log.read_text(encoding='utf-8', errors='replace')[position:]
        raise InstallError(f'{explain(output)}; the last lines of {self.log} are:\n{tail(output)}')


def check_python():
    """Refuse Pythons that mmcv and xtuner do not support."""
    lowest, highest = PYTHON_VERSIONS
    if not lowest <= sys.version_info[:2] <= highest:
        raise InstallError(
            f'flmm needs Python 3.10, 3.11 or 3.12, and this is {platform.python_version()}; '
            f'name another one: make install PYTHON=/path/to/python3.11.'
        )


def check_compiler():
    """Refuse to start a build of mmcv that cannot succeed."""
    compiler = os.environ.get('CXX', 'g++').split()[0]
    if shutil.which(compiler) is None:
        raise InstallError(
            f'a C++ compiler is missing ({compiler}), and mmcv has to be compiled once (Debian '
            f'and Ubuntu: sudo apt install g++).'
        )
    if not (Path(sysconfig.get_path('include')) / 'Python.h').is_file():
        version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
        raise InstallError(
            f"Python's C headers are missing, and mmcv has to be compiled once (Debian and "
            f'Ubuntu: sudo apt install {version}-dev).'
        )


def default_jobs():
    """Return how many compilers fit: one per usable core, 2 GB of memory each."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(len(os.sched_getaffinity(0)), memory // 2**31))


def base_python():
    """Return the interpreter behind a virtual environment's: venvs are not stacked."""
    return getattr(sys, '_base_executable', None) or sys.executable


def requirement(name):
    """Return pip's arguments for one of the files in requirements/."""
    return ['-r', str(REQUIREMENTS / f'{name}.txt')]


def requirement_line(name):
    """Return the single requirement of a file in requirements/."""
    lines = (REQUIREMENTS / f'{name}.txt').read_text().splitlines()
    return next(line.strip() for line in lines if line.strip() and not line.startswith('#'))


def fingerprint():
    """Hash what an installation depends on: when it changes, `make install` has work to do."""
    digest = hashlib.sha256()
    shim = ROOT / 'flmm' / 'engine' / 'xtuner_shim'
    for path in [
        *sorted(REQUIREMENTS.glob('*.txt')),
        *sorted(shim.glob('*flmm_xtuner_shim.*')),
        ROOT / 'setup.py',
        ROOT / 'flmm' / 'version.py',
        Path(__file__).resolve(),
    ]:
        digest.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
    digest.update(f'{sys.version_info[:2]} {ROOT}'.encode())
    digest.update(os.environ.get('TORCH_INDEX_URL', '').encode())
    return digest.hexdigest() + '\n'


def has_ops(wheel):
    """Tell whether a wheel is whole and holds mmcv's compiled ops."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return any(re.match(r'mmcv/_ext\.', name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def explain(output):
    """Say in one sentence why pip failed."""
    for pattern, cause in _CAUSES:
        if re.search(pattern, output):
            return cause
    return 'an installation step failed'


def tail(output, lines=15):
    """Return the last lines of a log, without pip's remarks on its configuration."""
    kept = [line for line in output.splitlines() if not line.startswith('WARNING: Location')]
    return '\n'.join('    ' + line for line in kept[-lines:])


def minutes(seconds):
    """Write a duration for people."""
    return f'{seconds:.0f} s' if seconds < 100 else f'{seconds / 60:.1f} min'


def write_atomically(path, text):
    """Write a small file so that it is never seen half written."""
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(text)
    os.replace(temporary, path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='default: .venv')
    parser.add_argument('--check', action='store_true', help='only tell whether it is installed')
    args = parser.parse_args(argv)
    installer = Installer(args.venv.absolute())
    if installer.is_done():
        return 0
    if args.check:
        return 1
    try:
        installer.run()
    except InstallError as error:
        print(f'make install: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nmake install: stopped; run it again to go on from here.', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
