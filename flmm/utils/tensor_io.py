"""Reading tensor files from outside: nothing in them is ever executed."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Sequence
from typing import Any

import torch

from .archive_limits import check_safetensors_header, check_torch_archive
from .errors import CheckpointError, InputFileError, UnsafeFileError
from .safe_io import check_ordinary_file

#: Largest file of weights in bytes.
MAX_WEIGHT_BYTES = 4 * 1024**4

# Containers inside containers, at most; a training state has about six levels.
_MAX_DEPTH = 100


class _LeftOut:
    """Stands for an object of a class that is named as ignored; keeps nothing of it."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> _LeftOut:
        """Swallow the arguments of the object's constructor."""
        return super().__new__(cls)

    def __setstate__(self, _state: Any) -> None:
        """Swallow the object's content."""


#: What an object of an ignored class becomes.
LEFT_OUT = _LeftOut


def load_torch_file(
    path: str | os.PathLike,
    map_location: Any = 'cpu',
    ignored: Sequence[str] = (),
    mmap: bool = False,
) -> Any:
    """Read a file of `torch.save` that holds only tensors and plain containers.

    Args:
        path: The file.
        map_location: Where its tensors go, as in `torch.load`.
        ignored: Full names of classes and functions whose objects may be in the file and are not
            wanted, for instance `mmengine.logging.history_buffer.HistoryBuffer`. They are not
            imported: each such object becomes an empty `LEFT_OUT`.
        mmap: Read tensors from the disk when they are looked at, as in `torch.load`.

    Returns:
        What it holds.

    Raises:
        UnsafeFileError: The pickle inside asks for code that is not among `ignored`; or the file
            would take more memory than it has bytes.
        CheckpointError: The file is missing, truncated or not of `torch.save`.
    """
    if os.path.isdir(path):
        raise CheckpointError(path, 'is a folder; expected a .pth file.')
    content = _load_plain(path, map_location, ignored, mmap)
    _check_views(path, content)
    return content


def _load_plain(
    path: str | os.PathLike, map_location: Any, ignored: Sequence[str], mmap: bool
) -> Any:
    try:
        check_ordinary_file(path, MAX_WEIGHT_BYTES)
        check_torch_archive(path)
        with torch.serialization.safe_globals([(_LeftOut, name) for name in ignored]):
            return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except InputFileError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(path, 'no such file.', fix='Is the path right?') from error
    except pickle.UnpicklingError as error:
        # torch's message is a page long and recommends the unsafe way; its core is one line.
        lines = [line.strip() for line in str(error).splitlines() if 'GLOBAL' in line]
        raise UnsafeFileError(
            path,
            'is broken, or holds more than tensors and plain containers'
            + (f' ({lines[0][:200]})' if lines else '')
            + '; nothing in it was executed.',
            fix='Ask its author for a safetensors export, or have it saved again as plain tensors.',
        ) from error
    # What torch's unpickler raises on bytes that were changed, not only on missing ones.
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        OverflowError,
        MemoryError,
        RecursionError,
        struct.error,
    ) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            path,
            f'cannot be read as a file of torch.save: {detail[:200]}.',
            fix='It may be truncated; use an earlier checkpoint.',
        ) from error


def _check_views(path: str | os.PathLike, content: Any, where: str = '', depth: int = 0) -> None:
    """Refuse tensors that repeat a few bytes to look like terabytes; a copy would fill memory."""
    if depth > _MAX_DEPTH:
        raise UnsafeFileError(path, f'is nested deeper than {_MAX_DEPTH} levels.', key=where[:100])
    if isinstance(content, torch.Tensor):
        if content.layout is not torch.strided or content.is_quantized:
            return
        needed, there = content.numel() * content.element_size(), content.untyped_storage().nbytes()
        # Small ones may be expanded (a scalar learning rate, for instance).
        if content.device.type != 'meta' and needed > max(there, _SMALL):
            raise UnsafeFileError(
                path,
                f'has a tensor of shape {tuple(content.shape)} over {there} bytes.',
                key=where[:100],
                fix='It is no checkpoint that anybody trained.',
            )
    elif isinstance(content, dict):
        for key, value in content.items():
            _check_views(path, value, f'{where}[{key!r}]', depth + 1)
    elif isinstance(content, (list, tuple)):
        for index, value in enumerate(content):
            if not isinstance(value, (int, float, str)):
                _check_views(path, value, f'{where}[{index}]', depth + 1)


_SMALL = 1024**2


def load_safetensors_file(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a safetensors file to the CPU.

    Args:
        path: The file.

    Raises:
        UnsafeFileError: Its header is larger than any that somebody wrote.
        CheckpointError: It is missing, truncated or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        check_ordinary_file(path, MAX_WEIGHT_BYTES)
        check_safetensors_header(path)
        return load_file(path)
    except InputFileError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(path, 'no such file.', fix='Is the path right?') from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(path, f'cannot be read as safetensors: {error}.') from error
