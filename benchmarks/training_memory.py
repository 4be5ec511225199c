"""What a training step of CoLLaVO keeps in memory: everything trained, LoRA on bf16, LoRA on NF4.

An LMM with a random language model takes one step of AdamW in each of three ways:

- ``full bf16``: every weight of the language model trains;
- ``LoRA bf16``: the dual LoRA and the crayon prompt train, on a frozen base in bf16;
- ``QLoRA nf4``: the same on a base in 4 bits (NF4, scales in 8 bits).

Counted are the bytes of all tensors that outlive a step: weights (with the scales of quantised
ones), gradients, the optimiser's moments. The peak of a GPU also holds activations.

    python benchmarks/training_memory.py --json memory.json
    python benchmarks/training_memory.py --device cuda --sizes mid 7b
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from attention_capture import make_inputs, write_config
from torch import Tensor, nn

from flmm.models.adapters.adapted import adapted_lmm
from flmm.models.lmms import HFLMM
from flmm.models.systems import CoLLaVO

#: Name -> sizes of the language model. ``7b`` has the layers of LLaVA-1.5-7B.
SIZES = {
    'tiny': dict(hidden=256, heads=8, intermediate=704, layers=4),
    'small': dict(hidden=512, heads=8, intermediate=1408, layers=8),
    'mid': dict(hidden=1024, heads=16, intermediate=2816, layers=12),
    '7b': dict(hidden=4096, heads=32, intermediate=11008, layers=32),
}
WAYS = ('full bf16', 'LoRA bf16', 'QLoRA nf4')
_SIDE, _WORDS = 12, 100


def build(way: str, size: str, rank: int, device: str) -> CoLLaVO:
    """A CoLLaVO on a random LMM of one size.

    Args:
        way: One of ``WAYS``.
        size: A key of ``SIZES``.
        rank: Of the LoRAs.
        device: Where it trains.
    """
    sizes = SimpleNamespace(**SIZES[size])
    with TemporaryDirectory() as folder:
        write_config(folder, sizes, _SIDE, sizes.layers)
        lmm = HFLMM(folder, dtype='bfloat16', random_init=0)
    lmm = lmm.requires_grad_(False).to(device)
    if way == 'QLoRA nf4':
        lmm = adapted_lmm(lmm, [], four_bit=True)
    system = CoLLaVO(
        dict(type=_given, lmm=lmm),
        object(),
        dict(embed_channels=256, num_classes=133, max_instances=20),
        dict(rank=rank, alpha=rank),
    ).to(device)
    if way == 'full bf16':
        system.requires_grad_(False)
        lmm.set_trainable(['language'])
    return system.train()


def _given(lmm: HFLMM) -> HFLMM:
    return lmm


def step(system: CoLLaVO, device: str) -> torch.optim.Optimizer:
    """One step of AdamW on one sample of an image and text; gradients stay."""
    inputs = make_inputs(_SIDE, _WORDS)
    cells = torch.ones(1, _SIDE * _SIDE, dtype=torch.int64)
    maps = {'crayon_classes': cells, 'crayon_instances': cells}
    labels = inputs.input_ids.clone()
    labels[: 1 + _SIDE * _SIDE] = -100
    inputs = replace(inputs, labels=labels, tensors={**inputs.tensors, **maps}).to(device)
    trains = [parameter for parameter in system.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trains, lr=1e-5)
    system.loss([inputs])['loss_lm'].backward()
    optimizer.step()
    return optimizer


def tensors_of_weights(model: nn.Module) -> Iterable[Tensor]:
    """Parameters and buffers, and what a quantised weight keeps beside its 4 bits."""
    yield from model.parameters()
    yield from model.buffers()
    for parameter in model.parameters():
        state = getattr(parameter, 'quant_state', None)
        while state is not None:
            yield from (one for one in vars(state).values() if isinstance(one, Tensor))
            state = getattr(state, 'state2', None)


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the different storages among tensors."""
    storages = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr(), str(tensor.device)] = storage.nbytes()
    return sum(storages.values())


def measure(way: str, size: str, rank: int, device: str) -> dict[str, Any]:
    """Bytes after one step.

    Returns:
        ``way``, ``size``, ``parameters`` of the language model, ``trained``, ``weights``,
        ``gradients``, ``optimiser``, ``total`` (bytes) and ``gpu_peak`` (bytes; None on a CPU).
    """
    torch.manual_seed(0)
    if device != 'cpu':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    system = build(way, size, rank, device)
    optimizer = step(system, device)
    trains = [parameter for parameter in system.parameters() if parameter.requires_grad]
    shapes = SIZES[size]
    width, inner = shapes['hidden'], shapes['intermediate']
    row = {
        'way': way,
        'size': size,
        'parameters': shapes['layers'] * (4 * width * width + 3 * width * inner),
        'trained': sum(parameter.numel() for parameter in trains),
        # Where everything trains there would be no LoRA and no crayon prompt.
        'weights': nbytes(tensors_of_weights(system.lmm if way == 'full bf16' else system)),
        'gradients': nbytes(p.grad for p in trains if p.grad is not None),
        'optimiser': nbytes(
            value
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ),
    }
    row['total'] = row['weights'] + row['gradients'] + row['optimiser']
    row['gpu_peak'] = None if device == 'cpu' else torch.cuda.max_memory_allocated()
    return row


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table in Markdown; sizes in MiB."""
    print(
        '| size | decoder layers | way | trained | weights | gradients | optimiser | total | GPU |'
    )
    print('|---|---:|---|---:|---:|---:|---:|---:|---:|')
    for row in rows:
        sizes = [
            f'{row[name] / 2**20:.1f}' for name in ('weights', 'gradients', 'optimiser', 'total')
        ]
        gpu = 'no GPU at hand' if row['gpu_peak'] is None else f'{row["gpu_peak"] / 2**20:.1f}'
        counts = [f'{row[name] / 1e6:.1f} M' for name in ('parameters', 'trained')]
        cells = [row['size'], counts[0], row['way'], counts[1], *sizes, gpu]
        print(f'| {" | ".join(cells)} |')


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """Run the command line; returns the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--sizes', nargs='+', choices=list(SIZES), default=['tiny', 'small', 'mid'])
    parser.add_argument('--rank', type=int, default=64)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='also write the rows here')
    args = parser.parse_args(argv)
    rows = []
    for size in args.sizes:
        for way in WAYS:
            rows.append(measure(way, size, args.rank, args.device))
    print_table(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2))
    return rows


if __name__ == '__main__':
    main()
