"""A temporary folder beside what it becomes; one that a kill left is removed by the next run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: nothing is known to be left behind then
    fcntl = None

#: Lies in each folder, locked as long as the process lives that made it.
OWNER = '.owner'
_MARK = b'temporary folder of a step of flmm.apis.prepare\n'
_FILES = 'files'


@contextmanager
def step_folder(root: Path, name: str) -> Iterator[Path]:
    """An empty folder within ``root`` until the end of the block.

    Args:
        root: Where; folders there whose process was killed are removed first.
        name: Of the step, for people who look.
    """
    remove_left_folders(root)
    folder = Path(tempfile.mkdtemp(prefix=f'.{name}.', dir=root))
    try:
        with open(folder / f'{OWNER}.new', 'xb') as owner:
            owner.write(_MARK)
            owner.flush()
            # Under its name it is never seen unlocked by another process.
            if fcntl is not None and _lock(owner.fileno()):
                os.rename(folder / f'{OWNER}.new', folder / OWNER)
            (folder / _FILES).mkdir()
            try:
                yield folder / _FILES
            finally:
                _remove(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_folders(root: Path) -> list[str]:
    """Remove the folders that killed processes left; nothing else is touched.

    Args:
        root: See :func:`step_folder`.

    Returns:
        Names of the folders.
    """
    if fcntl is None:
        return []
    with os.scandir(root) as entries:
        hidden = [e for e in entries if e.name.startswith('.') and e.is_dir(follow_symlinks=False)]
    return sorted(entry.name for entry in hidden if _remove_left(Path(entry.path)))


def _remove_left(folder: Path) -> bool:
    owner = folder / OWNER
    if owner.is_symlink() or not owner.is_file():
        return False
    try:
        # Some file systems lock only what is open for writing.
        with open(owner, 'rb+') as file:
            if file.read(len(_MARK) + 1) != _MARK or not _lock(file.fileno()):
                return False
            _remove(folder)
    except OSError:  # another process was faster, or it is another user's
        return False
    return not folder.exists()


def _remove(folder: Path) -> None:
    # The mark goes last: who is killed here leaves a folder that is still known for one.
    shutil.rmtree(folder / _FILES, ignore_errors=True)
    if not (folder / _FILES).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed or the process ends, if nobody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or the file system cannot
        return False
    return True
