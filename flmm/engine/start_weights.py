"""The start of a training: weights of an earlier one, whatever strategy wrote them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from flmm.models.part_weights import TakesWeights

from .latest import find_latest_training_state
from .sharded_checkpoint import is_sharded_state
from .weights import is_export, load_weights


def find_weights(path: str | os.PathLike) -> Path:
    """What a path means: itself, or the newest whole training state of a work dir.

    Args:
        path: A file, a folder of DeepSpeed, an export, or a work dir (which may have been moved).
    """
    path = Path(path)
    if not path.is_dir() or is_sharded_state(path) or is_export(path):
        return path
    latest = find_latest_training_state(path)
    if latest is not None:
        return latest
    # Weights alone, or a folder of DeepSpeed's own, are no training state of flmm's.
    pointer = path / 'last_checkpoint'
    if pointer.is_file():
        return path / Path(pointer.read_text(encoding='utf-8', errors='replace').strip()).name
    return path


def hand_over_weights(model: nn.Module) -> list[str]:
    """Read the weights that a system is to start from, and give them to it.

    Args:
        model: The bare model; one that starts from nothing stays as it is.

    Returns:
        Names of what it took.

    Raises:
        CheckpointError: They cannot be read, or are not what the system needs.
        UnsafeFileError: A file asks for code.
    """
    if not isinstance(model, TakesWeights) or model.starts_from is None:
        return []
    path = find_weights(model.starts_from)
    taken = model.take_weights(load_weights(path), str(path))
    print_log(
        f'{type(model).__name__} starts with {len(taken)} weights of {path}.',
        logger='current',
        level=logging.INFO,
    )
    return taken


def complete(model: nn.Module) -> list[str]:
    """Give a system its start where frozen parts of it come from there.

    A checkpoint does not hold frozen parts. Those that an earlier training has made are needed to
    resume and to evaluate, too; what the checkpoint holds is loaded over them.

    Args:
        model: The bare model; one whose start is only a start (no true ``start_is_part``) stays
            as it is.

    Returns:
        Names of what it took.

    Raises:
        CheckpointError: As :func:`hand_over_weights`.
        UnsafeFileError: A file asks for code.
    """
    return hand_over_weights(model) if getattr(model, 'start_is_part', False) else []
