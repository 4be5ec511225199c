"""Linear layers in 4 bits through bitsandbytes, which has kernels for GPUs and CPUs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from flmm.utils.errors import FLMMError

#: Weights that share one scale.
BLOCK = 64
#: Last names of layers that stay as they are: LoRAs that models have inside.
LORAS = ('Plora_A', 'Plora_B', 'Plora_seg_A', 'Plora_seg_B', 'lora_A', 'lora_B')


def quantise_linears(
    module: nn.Module,
    quant_type: Literal['nf4', 'fp4'] = 'nf4',
    double_quant: bool = True,
    compute_dtype: torch.dtype | None = None,
    skip: Sequence[str] = LORAS,
) -> list[str]:
    """Replace the linear layers inside a module by frozen ones of 4 bits, in place.

    Layers whose number of weights is no multiple of ``BLOCK`` stay as they are. A weight of
    4096 x 4096 goes from 32 MiB (bf16) to about 8.3: half a byte each and a scale for every block.

    Args:
        module: Around the layers; its other parameters (norms, embeddings) stay as they are.
        quant_type: ``'nf4'`` (levels of a bell curve) or ``'fp4'``.
        double_quant: Keep the scales in 8 bits, too.
        compute_dtype: In which products are computed; None for that of each layer's weight.
        skip: Last names of layers that stay as they are.

    Returns:
        Names of the layers that were replaced.

    Raises:
        FLMMError: bitsandbytes is missing, there is no linear layer, or one is trainable.
    """
    try:
        import bitsandbytes as bnb
    except ImportError as error:
        raise FLMMError(
            '4-bit weights need bitsandbytes: pip install "bitsandbytes>=0.48".'
        ) from error
    names = [
        name
        for name, child in module.named_modules()
        if type(child) is nn.Linear
        and child.weight.numel() % BLOCK == 0
        and name.rpartition('.')[2] not in skip
    ]
    if not names:
        raise FLMMError(
            f'{type(module).__name__} has no linear layer to quantise: none whose number of '
            f'weights is a multiple of {BLOCK}.'
        )
    for name in names:
        linear = module.get_submodule(name)
        if linear.weight.requires_grad:
            raise FLMMError(
                f'{name} is trainable; weights of 4 bits cannot be trained. Freeze the LMM first.'
            )
        # Where rows are no whole blocks, the kernels that write text cannot be used.
        kind = bnb.nn.Linear4bit if linear.in_features % BLOCK == 0 else _ragged_layer()
        layer = kind(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=compute_dtype or linear.weight.dtype,
            compress_statistics=double_quant,
            quant_type=quant_type,
            device='meta',
        )
        device = linear.weight.device
        layer.weight = bnb.nn.Params4bit(
            linear.weight.data,
            requires_grad=False,
            compress_statistics=double_quant,
            quant_type=quant_type,
            module=layer,
        )
        # bitsandbytes repacks the weights of CPUs with AVX512-BF16 when they are first used without
        # gradients. Repacked layers have no backward, and their bits are others than before.
        layer.support_avx512bf16_for_cpu = False
        layer.bias = linear.bias
        parent, _, own = name.rpartition('.')
        # Moving a layer is what quantises it.
        setattr(module.get_submodule(parent), own, layer.to(device))
    return names


@functools.cache
def _ragged_layer() -> type[nn.Module]:
    """A 4-bit layer that always multiplies with the weights made whole again."""
    import bitsandbytes as bnb

    class RaggedLinear4bit(bnb.nn.Linear4bit):
        """A 4-bit layer whose blocks of weights run over the ends of rows."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled() and x.requires_grad:
                return super().forward(x)
            weight = bnb.functional.dequantize_4bit(self.weight.data, self.weight.quant_state)
            dtype = self.compute_dtype or x.dtype
            bias = None if self.bias is None else self.bias.to(dtype)
            return nn.functional.linear(x.to(dtype), weight.to(dtype), bias).to(x.dtype)

    return RaggedLinear4bit
