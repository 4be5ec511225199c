"""Weights of one training as the start of another that trains other parts of the same model."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, runtime_checkable

from mmengine.logging import print_log
from torch import Tensor, nn

from flmm.utils.errors import CheckpointError


@runtime_checkable
class TakesWeights(Protocol):
    """A system whose training may start from weights of another one.

    Models read no checkpoints: the engine does (:mod:`flmm.engine.start_weights`), when a training
    begins that nothing is resumed or loaded for, and hands over what it has read. A system with a
    true ``start_is_part`` has frozen parts from there: it gets them whenever it is loaded.

    Attributes:
        starts_from: File or folder of weights, or a work dir; None starts without.
    """

    starts_from: str | None

    def take_weights(self, weights: Mapping[str, Tensor], path: str) -> list[str]:
        """Fill what is there of the parts that this training starts with.

        Args:
            weights: By name, as the earlier training knew them.
            path: Where they were read, for errors.

        Returns:
            Names of what was filled.

        Raises:
            CheckpointError: They are not what this system needs.
        """


def load_some(
    model: nn.Module, weights: Mapping[str, Tensor], path: str, wanted: Collection[str]
) -> list[str]:
    """Fill those weights of a model that are there; the others keep their values.

    Args:
        model: The model.
        weights: By name.
        path: Where they were read, for errors.
        wanted: Names of the parameters that are going to train; some of them must be there.

    Returns:
        Names of what was filled.

    Raises:
        CheckpointError: None of the wanted ones is there, or a weight has another shape.
    """
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


def freeze_parts(model: nn.Module, parts: Iterable[str]) -> set[str]:
    """Freeze parts that an earlier training has made.

    Args:
        model: The model.
        parts: Their names, such as ``'text_decoder'``.

    Returns:
        Names of the parameters that would have trained: the earlier training is to hold them.
        Pretrained ones that are frozen of themselves are not among them.

    Raises:
        AttributeError: There is no such part.
    """
    made = set()
    for part in parts:
        module = model.get_submodule(part)
        made |= {f'{part}.{name}' for name, p in module.named_parameters() if p.requires_grad}
        module.requires_grad_(False)
    return made


def warn_of_gaps(names: Collection[str], path: str) -> None:
    """Say that frozen weights are not in what a training starts from; nothing will teach them.

    Args:
        names: Of the weights that are missing.
        path: What was read.
    """
    if not names:
        return
    parts = ', '.join(sorted({name.split('.')[0] for name in names}))
    print_log(
        f'{path} lacks {len(names)} weights of parts that are frozen here ({parts}; such as '
        f'{min(names)}): unless they are pretrained they stay random. Start from a training that '
        'had these parts, or leave them out of `frozen`.',
        logger='current',
        level=logging.WARNING,
    )
