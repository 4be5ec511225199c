"""One process of two under DDP on gloo: rank 1 meets NaNs and too little memory."""

import json
import sys

import torch
import torch.distributed as dist
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import nn

from flmm.engine.step_guard import StepGuard


class Line(BaseModel):
    """w * x, squared error to y."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.most, self.sizes = None, []

    def forward(self, x, y, mode='loss'):
        self.sizes.append(len(x))
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError('CUDA out of memory.')
        return {'loss': (self.weight * x - y).square().mean()}


class Sum(BaseModel):
    """(w + other) * x, squared error to y; `other` is used where told, `unused` nowhere."""

    def __init__(self):
        super().__init__()
        self.weight, self.other, self.unused = (
            nn.Parameter(torch.tensor([value])) for value in (1.0, 0.0, 1.0)
        )

    def forward(self, x, y, use_other, mode='loss'):
        slope = self.weight + self.other if use_other else self.weight
        return {'loss': (slope * x - y).square().mean()}


def accumulate(rank):
    """Steps of two batches; the last one of the first step, which sums gradients, is a NaN."""
    bare = Sum()
    model = MMDistributedDataParallel(
        bare, device_ids=None, broadcast_buffers=False, find_unused_parameters=True
    )
    groups = [{'params': [bare.weight, bare.other]}, {'params': [bare.unused], 'weight_decay': 1}]
    wrapper = OptimWrapper(torch.optim.SGD(groups, lr=0.1), accumulative_counts=2)
    x = torch.tensor([1.0 + rank])
    good = {'x': x, 'y': 3 * x, 'use_other': rank == 1}
    bad = {**good, 'y': x / 0 if rank == 1 else 3 * x}
    guard, values = StepGuard(), []
    for data in (good, bad, good, good):
        guard.step(model, data, wrapper)
        values.append([parameter.item() for parameter in bare.parameters()])
    return values


def two_faults(rank):
    """A step with a NaN on rank 1, then one that does not fit into its memory."""
    bare = Line()
    model = MMDistributedDataParallel(bare, device_ids=None, broadcast_buffers=False)
    guard = StepGuard()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    x = torch.tensor([1.0, 2.0])
    good = {'x': x, 'y': 3 * x}
    bad = {'x': x, 'y': x / 0}
    weights = []
    for step in range(3):
        bare.most = 1 if rank == 1 and step == 2 else None
        guard.step(model, bad if rank == 1 and step == 1 else good, wrapper)
        weights.append(bare.weight.item())
    return dict(weights=weights, skipped=guard.skipped, split=guard.split, sizes=bare.sizes)


def main(folder, rank):
    torch.set_num_threads(1)
    where = f'file://{folder}/rendezvous'
    dist.init_process_group('gloo', init_method=where, rank=rank, world_size=2)
    print(json.dumps({**two_faults(rank), 'accumulated': accumulate(rank)}))
    dist.destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
