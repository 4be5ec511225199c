"""Weights that are trained in 16 bits without float32 copies of them."""

from __future__ import annotations

import logging
from fractions import Fraction

import torch
from torch import nn

HALF = (torch.bfloat16, torch.float16)


def warn_of_half_weights(model: nn.Module, logger: logging.Logger) -> bool:
    """Say once that the optimiser steps on weights of 16 bits, where it does.

    For runs without DeepSpeed, which keeps float32 copies of what it trains.
    Autocast (``AmpOptimWrapper``, ``autocast=True``) is no remedy and no reason: it only changes
    what a forward pass computes in.

    Args:
        model: Its trainable parameters are looked at.
        logger: Gets the warning.

    Returns:
        Whether there was a reason to.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    half = {name: p.dtype for name, p in trained.items() if p.dtype in HALF}
    if not half:
        return False
    dtypes = sorted({str(dtype).removeprefix('torch.') for dtype in half.values()})
    # A step of less than half the distance to the next number leaves a weight as it is.
    lost = Fraction(max(torch.finfo(dtype).eps for dtype in half.values())) / 2
    logger.warning(
        f'{len(half)} of {len(trained)} trained weights are {" and ".join(dtypes)} and have no '
        f'float32 copies ({", ".join(list(half)[:3])}{", ..." if len(half) > 3 else ""}): steps '
        f'smaller than about {lost} of a weight are rounded away. Build what is trained in '
        'float32 (with AmpOptimWrapper it is as fast), or train with --deepspeed, which keeps '
        'float32 copies.'
    )
    return True
