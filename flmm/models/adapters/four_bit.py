"""Linear layers in 4 bits through bitsandbytes, which has kernels for GPUs and CPUs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

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
        whole_rows = linear.in_features % BLOCK == 0
        kind = bnb.nn.Linear4bit if whole_rows else _ragged_layer()
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
            linear.weight.data if whole_rows else linear.weight.data.reshape(1, -1),
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
    """A 4-bit layer whose blocks of weights run over the ends of rows.

    bitsandbytes' kernels for CPUs count the scales of each row anew (0.50): where rows are no whole
    blocks, all rows but the first get scales of others, and half of the weight is error. So these
    weights are kept as one row, which is whole blocks, and are made whole before they multiply.
    """
    import bitsandbytes as bnb

    class RaggedLinear4bit(bnb.nn.Linear4bit):
        """A 4-bit layer whose weight is quantised as one row."""

        def whole(self, dtype: torch.dtype) -> torch.Tensor:
            """The weight, ``(out_features, in_features)``."""
            flat = bnb.functional.dequantize_4bit(self.weight.data, self.weight.quant_state)
            return flat.view(self.out_features, self.in_features).to(dtype)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            dtype = self.compute_dtype or x.dtype
            y = _Product.apply(x.to(dtype), self)
            return (y if self.bias is None else y + self.bias.to(dtype)).to(x.dtype)

    return RaggedLinear4bit


class _Product(torch.autograd.Function):
    """``x W^T`` that keeps the 4 bits of ``W`` for the backward, not ``W``."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: Any) -> torch.Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, layer.whole(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad @ ctx.layer.whole(grad.dtype), None
