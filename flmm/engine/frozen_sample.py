"""A few numbers of the frozen weights, kept with what was trained on them.

Frozen parts are never in a checkpoint. A head that is loaded over another LMM than the one it was
trained on fits in every shape and predicts noise; these numbers tell.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from flmm.utils.errors import CheckpointError, UnsafeFileError
from flmm.utils.tensor_io import load_torch_file

from .sharded_checkpoint import is_sharded_state, load_common

#: Key of the sample in a training state's ``meta``.
KEY = 'frozen_sample'
# Of each parameter. Weights of one architecture differ nearly everywhere.
_VALUES = 4
# Half precision keeps 2 to 3 digits; parts that are equal to them are the same part.
_TOLERANCE = 0.02
# A part is another one where more than this share of its numbers differ.
_SHARE = 0.05


def sample_frozen(model: nn.Module) -> dict[str, Tensor]:
    """Take numbers of every frozen parameter that is whole and not quantised.

    Args:
        model: The bare model.

    Returns:
        Name of a parameter -> ``(n,)`` float32, evenly spread over it. Empty parameters (ZeRO-3
        shares them out) and those of whole numbers (4-bit weights) are left out.
    """
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad or not parameter.numel() or not parameter.is_floating_point():
            continue
        flat = parameter.detach().flatten()
        found[name] = flat[_places(len(flat)).to(flat.device)].float().cpu()
    return found


def _places(length: int) -> Tensor:
    """Where numbers are taken: the first, the last, and evenly spread between."""
    # In whole numbers: beyond 2^24 float32 rounds the last place past the end.
    count = min(_VALUES, length)
    return torch.tensor([(length - 1) * i // max(count - 1, 1) for i in range(count)])


def other_parts(model: nn.Module, sample: Mapping[str, Tensor]) -> list[str]:
    """Name the frozen parts whose numbers are not those of a sample.

    Args:
        model: The bare model.
        sample: Of :func:`sample_frozen`; parameters that only one side has are not compared, as
            what is frozen may change from stage to stage.

    Returns:
        First part of the parameters' names, such as ``'lmm'``.
    """
    differing: dict[str, list[bool]] = {}
    for name, own in sample_frozen(model).items():
        saved = sample.get(name)
        if isinstance(saved, Tensor) and saved.shape == own.shape:
            scale = torch.maximum(own.abs(), saved.float().abs())
            far = (own - saved.float()).abs() > _TOLERANCE * scale + 1e-6
            differing.setdefault(name.partition('.')[0], []).extend(far.tolist())
    return sorted(part for part, far in differing.items() if sum(far) > _SHARE * len(far))


def warn_of_other_parts(model: nn.Module, sample: Any, path: str | os.PathLike) -> list[str]:
    """Log a warning where a model's frozen parts are not those that a checkpoint was trained on.

    Args:
        model: The bare model.
        sample: What the checkpoint says, or something else where it says nothing.
        path: The checkpoint.

    Returns:
        See :func:`other_parts`.
    """
    parts = other_parts(model, sample) if isinstance(sample, Mapping) else []
    if parts:
        print_log(
            f'{path} was trained on other frozen weights than those of this config: '
            f'{", ".join(parts)}. Its predictions will be poor. Does `pretrained` (or '
            '`random_init`) in the config name what it was trained on?',
            logger='current',
            level=logging.WARNING,
        )
    return parts


def read_sample(path: str | os.PathLike) -> Any:
    """What a checkpoint says of the frozen weights; None where it says nothing.

    Args:
        path: Anything that `flmm.engine.weights.load_weights` reads.
    """
    try:
        if is_sharded_state(path):
            content = load_common(path)
        elif os.path.isfile(path) and not os.fspath(path).endswith('.safetensors'):
            # Mapped: of a large file only the few pages that are looked at are read.
            content = load_torch_file(path, mmap=True)
        else:
            return None
    except (CheckpointError, UnsafeFileError):
        # Files of other programs hold more than plain containers; they have no sample either.
        return None
    meta = content.get('meta') if isinstance(content, dict) else None
    return meta.get(KEY) if isinstance(meta, dict) else None
