"""Reading tensor files from outside: nothing in them is ever executed."""

from __future__ import annotations

import os
import pickle
from typing import Any

import torch

from flmm.utils.errors import CheckpointError, UnsafeFileError


def load_torch_file(path: str | os.PathLike, map_location: Any = 'cpu') -> Any:
    """Read a file of `torch.save` that holds only tensors and plain containers.

    Args:
        path: The file.
        map_location: Where its tensors go, as in `torch.load`.

    Returns:
        What it holds.

    Raises:
        UnsafeFileError: The pickle inside asks for code.
        CheckpointError: The file is missing, truncated or not of `torch.save`.
    """
    if os.path.isdir(path):
        raise CheckpointError(path, 'is a folder; expected a .pth file.')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
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
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            path,
            f'cannot be read as a file of torch.save: {detail[:200]}.',
            fix='It may be truncated; use an earlier checkpoint.',
        ) from error
