"""Weights of one training as the start of another that trains other parts of the same model."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import nn

from flmm.utils.errors import CheckpointError
from flmm.utils.tensor_io import load_torch_file


def load_some(model: nn.Module, path: str, wanted: Collection[str]) -> list[str]:
    """Fill those weights of a model that a training state has; the others keep their values.

    Args:
        model: The model.
        path: Training state, or a work dir whose ``last_checkpoint`` names one.
        wanted: Names of the parameters that are going to train; some of them must be there.

    Returns:
        Names of what was filled.

    Raises:
        CheckpointError: It has none of the wanted ones, or a weight has another shape.
    """
    content = load_torch_file(_latest(path))
    weights = content.get('state_dict', content)
    own = model.state_dict()
    found = {name: tensor for name, tensor in weights.items() if name in own}
    if not found.keys() & set(wanted):
        shown = ', '.join(sorted(weights)[:2]) or 'nothing'
        raise CheckpointError(
            path,
            f'has none of the weights that train here ({", ".join(sorted(wanted)[:2])}, ...); '
            f'it has {shown}.',
            key='state_dict',
            fix='It should be the last checkpoint of the step before.',
        )
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                path,
                f'expected the shape {tuple(own[name].shape)}, got {tuple(tensor.shape)}.',
                key=name,
                fix='Do rank, classes and LMM of both steps agree?',
            )
    model.load_state_dict(found, strict=False)
    return sorted(found)


def _latest(path: str) -> str:
    """The file itself, or what the ``last_checkpoint`` of a work dir names."""
    pointer = Path(path) / 'last_checkpoint'
    if not pointer.is_file():
        return path
    # Where a work dir was moved, the pointer's folder is the old one.
    return str(pointer.parent / Path(pointer.read_text(encoding='utf-8').strip()).name)
