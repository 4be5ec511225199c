"""Where numbers come from: hashes of weights and data, versions, the machine."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info

from flmm.datasets.base import GroundingDataset
from flmm.evaluation.sample_record import plain
from flmm.registry import DATASETS
from flmm.version import __version__

_PACKAGES = ('torch', 'transformers', 'mmengine', 'numpy', 'pycocotools', 'pillow')
_WEIGHTS = ('.safetensors', '.bin', '.pth', '.pt')
_ANNOTATIONS = ('.json', '.jsonl', '.txt', '.xml', '.csv', '.tsv')
_CHUNK = 2**24
#: Larger files are hashed by their beginning, middle and end, and their size.
WHOLE_FILE = 2**31


def file_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file, or of samples of it and its size where it exceeds ``WHOLE_FILE``.

    Returns:
        ``sha256:<hex>``, or ``sha256-sampled:<hex>``.
    """
    digest, size = hashlib.sha256(), os.path.getsize(path)
    with open(path, 'rb') as file:
        if size <= WHOLE_FILE:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            return f'sha256:{digest.hexdigest()}'
        digest.update(str(size).encode())
        for start in (0, size // 2, size - _CHUNK):
            file.seek(start)
            digest.update(file.read(_CHUNK))
    return f'sha256-sampled:{digest.hexdigest()}'


def text_hash(value: Any) -> str:
    """SHA-256 of a plain value, of a config too; the same in every process."""
    text = json.dumps(plain(value), sort_keys=True)
    return f'sha256:{hashlib.sha256(text.encode()).hexdigest()}'


def weight_hashes(model_cfg: Any, checkpoint: str | os.PathLike | None) -> dict[str, str]:
    """Hash the checkpoint and every weight file that the model's config names.

    Args:
        model_cfg: The model's config; folders and files in it that exist are looked into.
        checkpoint: What training saved (a file, or DeepSpeed's folder), or None.

    Returns:
        ``{path: hash}``; a name on a model hub, which is no local path, is not in it.
    """
    # os.path, not Path: a config also holds long texts, which no file can be named by.
    paths = {Path(text) for text in _strings(plain(model_cfg)) if text and os.path.exists(text)}
    if checkpoint is not None:
        paths.add(Path(checkpoint))
    files = {path for path in paths if path.is_file() and path.suffix in _WEIGHTS}
    if checkpoint is not None and os.path.isfile(checkpoint):
        files.add(Path(checkpoint))  # whatever it is called: it was loaded
    for folder in paths:
        # Only folders named in the config; '.' or '/' would mean the whole disk.
        if folder.is_dir() and folder.resolve() not in (Path.cwd(), Path('/')):
            inside = {path for path in folder.glob('*') if path.suffix in _WEIGHTS}
            # In the work dir of a DeepSpeed run a .pth is a folder.
            files |= {path for path in inside if path.is_file()}
            # DeepSpeed writes its weights one folder down and names that one in 'latest'.
            if (pointer := folder / 'latest').is_file():
                tag = Path(pointer.read_text(encoding='utf-8', errors='replace').strip()).name
                files |= set((folder / tag).glob('*.pt'))
    return {str(path): file_hash(path) for path in sorted(files)}


def data_hashes(dataset_cfg: Any) -> dict[str, str]:
    """Hash the annotation files, and the folders of such, that a dataset reads.

    Args:
        dataset_cfg: The dataset's config, which may nest others: what it names counts, and what
            datasets read besides (:meth:`GroundingDataset.also_reads`).

    Returns:
        ``{path: hash}``; a folder without annotations, see :func:`folder_hash`, is not in it.
    """
    found: dict[str, str] = {}
    named = {text for text in _strings(plain(dataset_cfg)) if text}
    for text in sorted(named | set(_also_read(dataset_cfg))):
        if os.path.isfile(text):
            found[text] = file_hash(text)
        elif os.path.isdir(text) and Path(text).resolve() not in (Path.cwd(), Path('/')):
            if value := folder_hash(text):
                found[text] = value
    return found


def folder_hash(folder: str | os.PathLike) -> str:
    """SHA-256 over a folder's annotations, and over names and sizes of its png files (masks).

    Annotations are what no config names one by one (json, text, tables): ReasonSeg's, MME's,
    panoptic maps, a tokenizer. Photographs (jpg) are left out, and so are further folders inside.

    Returns:
        ``sha256-folder:<hex>``, '' where there is none of both.
    """
    digest, count = hashlib.sha256(), 0
    with os.scandir(folder) as entries:
        files = sorted((entry for entry in entries if entry.is_file()), key=lambda e: e.name)
    for entry in files:
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix not in (*_ANNOTATIONS, '.png'):
            continue
        content = entry.stat().st_size if suffix == '.png' else file_hash(entry.path)
        digest.update(os.fsencode(f'{entry.name}\0{content}\n'))
        count += 1
    return f'sha256-folder:{digest.hexdigest()}' if count else ''


def versions() -> dict[str, str]:
    """Versions of flmm, Python and the packages that numbers depend on."""
    found = {'flmm': __version__, 'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Device and number of processes."""
    gpu = torch.cuda.is_available()
    return {
        'device': torch.cuda.get_device_name() if gpu else platform.processor() or 'cpu',
        'processes': get_dist_info()[1],
        'threads': torch.get_num_threads(),
    }


def _also_read(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        kind = value.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if inspect.isclass(kind) and issubclass(kind, GroundingDataset):
            yield from kind.also_reads(value)
        for item in value.values():
            yield from _also_read(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _also_read(item)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
