"""A trained system as a folder in the style of Hugging Face: weights, config and model card.

Only what was trained is in it; the frozen base is named, with a hash of its files, so that a
mistaken one is noticed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from flmm.utils.errors import CheckpointError, InputFileError
from flmm.version import __version__

from .atomic_write import publish_folder, remove_whole, temporary_folder
from .checksum import file_sha256
from .weights import EXPORTED, load_weights

# Files of a base model that decide what it computes.
_WEIGHT_FILES = ('*.safetensors', '*.bin', '*.pth', '*.pt', 'config.json')

_EPILOG = """examples:
  python tools/export.py CONFIG work_dirs/mine/iter_500.pth exports/mine
  python tools/export.py CONFIG work_dirs/zero3/iter_500.pth exports/mine --dtype bfloat16

The checkpoint may come from any strategy, a single process, DDP or ZeRO-1/2/3: the same weights
give the same folder. Use it wherever a checkpoint is asked for: exports/mine.
"""


def export_weights(
    config: Mapping[str, Any],
    checkpoint: str | os.PathLike,
    folder: str | os.PathLike,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Write the trained part of a system as a folder.

    Args:
        config: The experiment's config, with `model`.
        checkpoint: Anything that `flmm.engine.weights.load_weights` reads.
        folder: Where to; an older export there is replaced.
        dtype: Of floating-point weights.

    Returns:
        What `config.json` holds.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UnsafeFileError: It asks for code.
    """
    weights = load_weights(checkpoint)
    # By name, so that the folder does not depend on the order of any strategy.
    tensors = {name: _plain(weights[name], dtype) for name in sorted(weights)}
    content = {
        'format': 'flmm-export-1',
        'flmm_version': __version__,
        'system': type_name(config['model']),
        'dtype': str(dtype).removeprefix('torch.'),
        'num_parameters': sum(tensor.numel() for tensor in tensors.values()),
        'frozen_bases': [describe_base(base) for base in find_bases(config['model'])],
        'model': plain_config(config['model']),
    }
    temporary = temporary_folder(folder)
    remove_whole(temporary)
    temporary.mkdir(parents=True)
    save_file(tensors, temporary / EXPORTED, metadata={'format': 'pt'})
    text = json.dumps(content, indent=2, sort_keys=True) + '\n'
    (temporary / 'config.json').write_text(text, encoding='utf-8')
    (temporary / 'README.md').write_text(model_card(content, tensors), encoding='utf-8')
    for path in temporary.iterdir():
        with open(path, 'rb') as file:
            os.fsync(file.fileno())
    publish_folder(folder)
    return content


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # A copy each: safetensors refuses tensors that share memory, as tied ones do.
    tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return tensor.detach().cpu().contiguous().clone()


def type_name(config: Mapping[str, Any]) -> str:
    """Name of the class that a config builds."""
    kind = config['type']
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def plain_config(value: Any) -> Any:
    """A config as JSON: classes and functions by their full name."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    return str(value)


def find_bases(config: Any, where: str = 'model') -> list[tuple[str, str]]:
    """Find every `pretrained` in a model's config.

    Returns:
        Pairs of the place in the config and the name or path.
    """
    found = []
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == 'pretrained' and isinstance(value, (str, os.PathLike)):
                found.append((where, os.fspath(value)))
            else:
                found += find_bases(value, f'{where}.{key}')
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            found += find_bases(value, f'{where}[{index}]')
    return found


def describe_base(base: tuple[str, str]) -> dict[str, str | None]:
    """Name of a frozen base, and a hash of its weight files where it is on this machine.

    Args:
        base: From `find_bases`.
    """
    where, name = base
    path = Path(name).expanduser()
    if path.is_dir():
        files = sorted({file for glob in _WEIGHT_FILES for file in path.glob(glob)})
    else:
        files = [path] if path.is_file() else []
    digest = hashlib.sha256()
    for file in files:
        digest.update(f'{file.name} {file_sha256(file)}\n'.encode())
    shown = path.name if files else name
    return {'used_as': where, 'name': shown, 'sha256': digest.hexdigest() if files else None}


def model_card(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Text of the folder's README.

    Args:
        content: Of `config.json`.
        tensors: The weights.
    """
    bases = content['frozen_bases']
    lines = [
        '---',
        'library_name: flmm',
        'license: apache-2.0',
        'tags: [flmm, visual-grounding]',
        '---',
        f'# {content["system"]}, trained with flmm {content["flmm_version"]}',
        '',
        f'{len(tensors)} tensors, {content["num_parameters"]} numbers, {content["dtype"]}: the '
        'trained part only. It works with the base models below, which are not included.',
        '',
        '| used as | base | SHA-256 of its weight files |',
        '|---|---|---|',
        *(f'| `{b["used_as"]}` | {b["name"]} | {b["sha256"] or "not at hand"} |' for b in bases),
        '',
        'Use this folder, or its `model.safetensors`, wherever flmm asks for a checkpoint, with',
        'the config of the experiment; `config.json` has its model.',
        '',
    ]
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tools/export.py`.

    Args:
        argv: The arguments without the program; `sys.argv`'s by default.

    Returns:
        The exit status: 1 when its input cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog='tools/export.py',
        description='Write the trained part of a system as a Hugging Face style folder.',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the experiment')
    parser.add_argument('checkpoint', help='file or folder, of any strategy')
    parser.add_argument('folder', help='where to; an older export there is replaced')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    args = parser.parse_args(argv)
    from mmengine.config import Config

    try:
        if not os.path.isfile(args.config):
            raise InputFileError(args.config, 'no such config file.', fix='See configs/.')
        folder = Path(args.folder)
        if folder.exists() and not (folder / 'config.json').is_file():
            raise CheckpointError(folder, 'is there and is no export; it would be replaced.')
        config = Config.fromfile(args.config)
        content = export_weights(config, args.checkpoint, folder, getattr(torch, args.dtype))
    except InputFileError as error:
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        return 1
    print(f'{args.folder}: {content["num_parameters"]} numbers of {content["system"]}.')
    return 0
