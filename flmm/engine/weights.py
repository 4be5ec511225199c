"""Weights of a trained system from any file or folder that holds them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from torch import Tensor

from flmm.models.official_keys import from_official_f_lmm, is_official_f_lmm
from flmm.models.official_pink_keys import from_official_pink, is_official_pink
from flmm.utils.errors import CheckpointError
from flmm.utils.tensor_io import load_safetensors_file, load_torch_file

from .deepspeed_files import RUN_OBJECTS, load_deepspeed_folder
from .sharded_checkpoint import is_sharded_state, load_sharded_weights

#: File of the weights in an export (`flmm.engine.export`).
EXPORTED = 'model.safetensors'

# Where files keep the weights: mmengine, DeepSpeed.
_INNER = ('state_dict', 'module')


def load_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read weights under flmm's names.

    Args:
        path: What flmm's training saved, a checkpoint of F-LMM's or Pink's
            release, a DeepSpeed folder, an export (its folder, or a
            `.safetensors` file), or a bare state dict.

    Returns:
        By name; official names are translated.

    Raises:
        UnsafeFileError: A file asks for code.
        CheckpointError: It cannot be read, or holds no weights.
    """
    state_dict = load_state_dict_file(path)
    if is_official_pink(state_dict):
        return from_official_pink(state_dict)
    return from_official_f_lmm(state_dict) if is_official_f_lmm(state_dict) else state_dict


def is_export(path: str | os.PathLike) -> bool:
    """Whether a path is a folder that `flmm.engine.export` wrote."""
    return (Path(path) / EXPORTED).is_file()


def load_state_dict_file(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read weights under the names they have in a file or folder; see `load_weights`.

    A distributed wrapper's `module.` is cut off.

    Raises:
        UnsafeFileError: A file asks for code.
        CheckpointError: It cannot be read, or holds no weights.
    """
    if is_sharded_state(path):
        content = load_sharded_weights(path)
    elif is_export(path):
        content = load_safetensors_file(Path(path) / EXPORTED)
    elif os.path.isdir(path):
        content = load_deepspeed_folder(path)
    elif Path(path).suffix == '.safetensors':
        content = load_safetensors_file(path)
    else:
        content = _load_torch_weights(path)
    return {re.sub(r'^module\.', '', name): tensor for name, tensor in content.items()}


def _load_torch_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    # Logs and settings of a run may be in the file; they are left out, not built.
    content = load_torch_file(path, ignored=RUN_OBJECTS)
    for key in _INNER:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content:
        got = 'an empty one' if content == {} else type(content).__name__
        raise CheckpointError(path, f'expected a state dict, got {got}.')
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                path, f'expected a tensor, got {type(tensor).__name__}.', key=f'[{name!r}]'
            )
    return content
