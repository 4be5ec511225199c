"""Writing files so that a kill or a full disk never leaves a broken one behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | os.PathLike, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, force it to disk, then give it its name.

    Until the last step an older file of that name stays as it is.

    Args:
        path: The file; its folder is made.
        write: Writes the content to the opened file.

    Raises:
        OSError: The file cannot be written, for instance because the disk is full; the
            temporary file is gone then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp-{os.getpid()}')
    try:
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text_atomically(path: str | os.PathLike, text: str) -> None:
    """Write a small text file with `write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode('utf-8')))


def _sync_folder(folder: Path) -> None:
    # The new name itself is on disk only after the folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
