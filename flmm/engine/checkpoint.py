"""Training state in files: the trainable part only, tensors and plain containers only.

A training state is a dict with

- `meta`: `format`, `epoch`, `iter`, `seed`, versions; `config` is the config's text, for people:
  nothing ever executes it; `frozen_sample` is what `flmm.engine.frozen_sample` took;
- `state_dict`: trainable parameters, and the buffers of the modules they live in;
- `optimizer`, `param_schedulers`: as their `state_dict()` says;
- `message_hub`: mmengine's log history, its buffers as pairs of tensors;
- `progress`, `random_states`: the place in the data, and the generators of every process;
- `global_batch`: how many samples make a step, see `check_global_batch`.

It is one file, or, of a DeepSpeed run, a folder (`flmm.engine.sharded_checkpoint`).
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from flmm.utils.errors import CheckpointError

from .atomic_write import write_atomically
from .checksum import check_checksum, save_with_checksum
from .frozen_sample import read_sample, warn_of_other_parts
from .plain_state import FORMAT, check_state, to_plain
from .safe_io import load_torch_file
from .weights import load_weights


@dataclass(frozen=True)
class LoadReport:
    """What loading a state dict into a model did.

    Attributes:
        loaded: Names that were loaded.
        unexpected: Names in the file that the model lacks.
        missing_buffers: Buffers of trainable modules that the file lacks; they keep their value.
    """

    loaded: tuple[str, ...]
    unexpected: tuple[str, ...]
    missing_buffers: tuple[str, ...]

    def __str__(self) -> str:
        text = f'{len(self.loaded)} tensors loaded'
        if self.unexpected:
            text += f'; not in the model: {_listing(self.unexpected)}'
        if self.missing_buffers:
            text += f'; buffers not in the file: {_listing(self.missing_buffers)}'
        return text


def trainable_parameter_names(model: nn.Module) -> list[str]:
    """Return the names of all parameters with `requires_grad`, tied ones under each name."""
    named = model.named_parameters(remove_duplicate=False)
    return [name for name, parameter in named if parameter.requires_grad]


def trainable_buffer_names(model: nn.Module) -> list[str]:
    """Return the names of the persistent buffers that belong to trainable modules.

    A buffer belongs to the innermost module around it that has parameters (itself, or what is
    below it): running statistics of a trained U-Net are saved, those of a frozen tower not.
    """
    kept = set(model.state_dict().keys())
    modules = dict(model.named_modules(remove_duplicate=False))
    names = []
    for name, _ in model.named_buffers(remove_duplicate=False):
        owner = name.rpartition('.')[0]
        while owner and next(modules[owner].parameters(), None) is None:
            owner = owner.rpartition('.')[0]
        if name in kept and any(p.requires_grad for p in modules[owner].parameters()):
            names.append(name)
    return names


def trainable_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return copies on the CPU of what training changes in a model.

    Args:
        model: The bare model, not its distributed wrapper.
    """
    wanted = {*trainable_parameter_names(model), *trainable_buffer_names(model)}
    state = model.state_dict()
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items() if name in wanted}


def load_trainable_state_dict(
    model: nn.Module, state_dict: dict[str, Tensor], path: str | os.PathLike
) -> LoadReport:
    """Load a state dict that need not hold the frozen part of a model.

    Args:
        model: The bare model, not its distributed wrapper.
        state_dict: By name; names may begin with a wrapper's `module.`.
        path: The file it came from, for errors.

    Returns:
        What was loaded and what not.

    Raises:
        CheckpointError: A trainable parameter is missing, or a tensor has another shape. The
            model is unchanged then.
    """
    state_dict = {re.sub(r'^module\.', '', name): tensor for name, tensor in state_dict.items()}
    own = model.state_dict()
    unexpected = sorted(state_dict.keys() - own.keys())
    missing = [name for name in trainable_parameter_names(model) if name not in state_dict]
    if missing:
        raise CheckpointError(
            path,
            f'lacks {len(missing)} trainable parameters of the model: {_listing(missing)}'
            + (f'; it has, but the model does not: {_listing(unexpected)}' if unexpected else '')
            + '.',
            key='state_dict',
            fix='Is it a checkpoint of this config?',
        )
    mismatched = [
        f'{name} (expected shape {tuple(own[name].shape)}, got {tuple(state_dict[name].shape)})'
        for name in sorted(state_dict.keys() & own.keys())
        if state_dict[name].shape != own[name].shape
    ]
    if mismatched:
        raise CheckpointError(
            path,
            f'{len(mismatched)} tensors have another shape: {_listing(mismatched)}.',
            key='state_dict',
            fix='Is it a checkpoint of this config?',
        )
    loaded = {name: tensor for name, tensor in state_dict.items() if name in own}
    # Not strict: the frozen part is not in the file; the checks above did the rest.
    model.load_state_dict(loaded, strict=False)
    missing_buffers = [name for name in trainable_buffer_names(model) if name not in loaded]
    return LoadReport(tuple(loaded), tuple(unexpected), tuple(missing_buffers))


def load_trainable(model: nn.Module, path: str | os.PathLike) -> LoadReport:
    """Load a trained system: anything that `flmm.engine.weights.load_weights` reads.

    A warning is logged where the file says that it was trained on other frozen weights. Frozen
    parts that an earlier training has made are read first (`flmm.engine.start_weights.complete`).

    Args:
        model: The bare model.
        path: The file, or a DeepSpeed folder.

    Returns:
        What was loaded and what not.

    Raises:
        CheckpointError: It lacks a trainable parameter, a shape differs, or it cannot be read.
    """
    # It reads checkpoints itself.
    from .start_weights import complete

    complete(model)
    report = load_trainable_state_dict(model, load_weights(path), path)
    warn_of_other_parts(model, read_sample(path), path)
    return report


def save_training_state(state: dict[str, Any], path: str | os.PathLike) -> None:
    """Write a training state so that the file is either whole or not there.

    Args:
        state: See the module's docstring; numpy values become tensors and numbers.
        path: The file.

    Raises:
        TypeError: It holds something else than tensors and plain containers; the key is named.
        OSError: It cannot be written; an older file of that name is intact.
    """
    plain = to_plain(state)
    plain['meta'] = {'format': FORMAT, **plain.get('meta', {})}
    write_atomically(path, lambda file: save_with_checksum(plain, file))


def load_training_state(path: str | os.PathLike) -> dict[str, Any]:
    """Read a training state.

    Args:
        path: The file.

    Returns:
        The state, tensors on the CPU.

    Raises:
        UnsafeFileError: It holds more than tensors and plain containers.
        CheckpointError: It cannot be read, its checksum does not fit, or it is not a training
            state.
    """
    if os.path.isfile(path):
        check_checksum(path)
    state = load_torch_file(path)
    check_state(state, path)
    return state


def message_hub_to_plain(hub_state: dict[str, Any]) -> dict[str, Any]:
    """Reduce the `state_dict()` of mmengine's message hub to plain containers.

    What cannot be reduced (and the config's text, which `meta` has) is left out: it is
    information about the run, not its state.
    """
    scalars = {}
    for name, buffer in hub_state['log_scalars'].items():
        log_history, count_history = buffer.data
        scalars[name] = {
            'log_history': torch.as_tensor(np.asarray(log_history, dtype=np.float64)),
            'count_history': torch.as_tensor(np.asarray(count_history, dtype=np.float64)),
            'max_length': int(buffer.max_length),
        }
    runtime_info = {}
    for name, value in hub_state['runtime_info'].items():
        if name == 'cfg':
            continue
        try:
            runtime_info[name] = to_plain(value)
        except TypeError:
            continue
    resumed = hub_state['resumed_keys'].items()
    return {
        'log_scalars': scalars,
        'runtime_info': runtime_info,
        'resumed_keys': {
            name: bool(flag) for name, flag in resumed if name in scalars or name in runtime_info
        },
    }


def message_hub_from_plain(plain: dict[str, Any], path: str | os.PathLike) -> dict[str, Any]:
    """Rebuild what the `load_state_dict` of mmengine's message hub takes.

    Args:
        plain: What `message_hub_to_plain` made.
        path: The file it came from, for errors.

    Raises:
        CheckpointError: It has another form.
    """
    try:
        scalars = OrderedDict(
            (
                name,
                HistoryBuffer(
                    buffer['log_history'].numpy(),
                    buffer['count_history'].numpy(),
                    buffer['max_length'],
                ),
            )
            for name, buffer in plain['log_scalars'].items()
        )
        return {
            'log_scalars': scalars,
            'runtime_info': OrderedDict(plain['runtime_info']),
            'resumed_keys': dict(plain['resumed_keys']),
        }
    except (KeyError, TypeError, AttributeError, AssertionError) as error:
        raise CheckpointError(
            path, f'expected the log history of a training state ({error}).', key='message_hub'
        ) from error


def _listing(names, limit: int = 5) -> str:
    shown = ', '.join(list(names)[:limit])
    return shown + (f' and {len(names) - limit} more' if len(names) > limit else '')
