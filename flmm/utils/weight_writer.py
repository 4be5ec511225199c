"""A safetensors file written tensor by tensor: what is computed for it need not be held at once."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

_NAMES = {
    torch.float64: 'F64',
    torch.float32: 'F32',
    torch.float16: 'F16',
    torch.bfloat16: 'BF16',
    torch.int64: 'I64',
    torch.int32: 'I32',
    torch.int16: 'I16',
    torch.int8: 'I8',
    torch.uint8: 'U8',
    torch.bool: 'BOOL',
}


@dataclass(frozen=True)
class LaterTensor:
    """A tensor that is computed when it is written.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        make: Computes it.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]


def write_safetensors(path: str | os.PathLike, weights: Mapping[str, Tensor | LaterTensor]) -> None:
    """Write a safetensors file of which one tensor at a time is computed.

    The file appears under its name when it is whole.

    Args:
        path: File to write; its folder is made.
        weights: Tensors on the CPU, or how to get them. Two may share their memory.

    Raises:
        ValueError: A tensor is of a type that safetensors lacks, or not as it was announced.
    """
    path = Path(path)
    # Wide types first, so that every tensor begins at a multiple of its type's size.
    names = sorted(weights, key=lambda name: (-weights[name].dtype.itemsize, name))
    header, end = {'__metadata__': {'format': 'pt'}}, 0
    for name in names:
        own = weights[name]
        if own.dtype not in _NAMES:
            raise ValueError(f'{name} is of type {own.dtype}; known are {sorted(_NAMES.values())}.')
        start, end = end, end + math.prod(own.shape) * own.dtype.itemsize
        header[name] = {
            'dtype': _NAMES[own.dtype],
            'shape': list(own.shape),
            'data_offsets': [start, end],
        }
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.part')
    try:
        with open(temporary, 'wb') as file:
            file.write(struct.pack('<Q', len(text)) + text)
            for name in names:
                file.write(_bytes_of(name, weights[name]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _bytes_of(name: str, own: Tensor | LaterTensor) -> memoryview:
    value = own.make() if isinstance(own, LaterTensor) else own
    if tuple(value.shape) != tuple(own.shape) or value.dtype != own.dtype:
        raise ValueError(
            f'{name} was to be {tuple(own.shape)} {own.dtype}, '
            f'and is {tuple(value.shape)} {value.dtype}.'
        )
    return memoryview(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
