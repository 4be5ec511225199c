"""What processes do with layers that are shared out; `lab.py` calls these in each of them."""

import copy

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from flmm.engine.dist import gather_plain, init_distributed
from flmm.engine.partitioned_lmm import PartitionedLayers
from flmm.models.lmms import BaseLMM


class Layer(nn.Module):
    """13 numbers, which no number of processes divides, in two dtypes."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
        self.fail = self.adapter = None
        self.recompute = False

    def __call__(self, x):
        # As layers of transformers do it.
        if self.recompute:
            return checkpoint(super().__call__, x, use_reentrant=False)
        return super().__call__(x)

    def forward(self, x):
        if self.fail is not None:
            raise self.fail
        out = torch.tanh(self.mix(x)) * self.scale
        return out if self.adapter is None else out * self.adapter


class Stack(nn.Module):
    """Three layers and, in a list of lists, two more; the last shares a parameter with a head."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(3))
        self.blocks = nn.ModuleList([nn.ModuleList([Layer(), Layer()])])
        self.head = nn.Linear(3, 3)
        self.blocks[0][1].mix.weight = self.head.weight

    def forward(self, x):
        for layer in (*self.layers, *self.blocks[0]):
            x = layer(x)
        return self.head(x)


class SmallLMM(BaseLMM):
    """Three layers, of which only adapters are trained, or all of them."""

    def __init__(self, adapters):
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(3))
        self.requires_grad_(not adapters)
        for layer in self.layers:
            layer.adapter = nn.Parameter(torch.ones(3))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


# Of the contract of an LMM these trainings need nothing else.
SmallLMM.__abstractmethods__ = frozenset()


class AdaptedNet(BaseModel):
    """A small LMM between two layers, all on the way of the gradients."""

    def __init__(self, adapters=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.before, self.after = nn.Linear(6, 3), nn.Linear(3, 6)
        self.lmm = SmallLMM(adapters)
        for parameter in self.parameters():
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator))

    def forward(self, x, y, ids=(), mode='tensor'):
        loss = (self.after(self.lmm(self.before(x))) - y).square().mean()
        return {'loss': loss} if mode == 'loss' else [loss]


class Crossed(BaseModel):
    """Runs its two parts in another order on each of two processes, as heads may."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)
        for parameter in self.parameters():
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)

    def forward(self, x, y, ids=(), mode='tensor'):
        first, second = (self.one, self.two)[:: 1 - 2 * get_rank()]
        loss = (second(torch.tanh(first(x))) - y).square().mean()
        return {'loss': loss} if mode == 'loss' else [loss]


class System(nn.Module):
    """Runs its frozen stack as often as it is told."""

    def __init__(self, stack, through=False):
        super().__init__()
        self.stack = stack.requires_grad_(False)
        self.through = through

    def forward(self, batches):
        with torch.set_grad_enabled(self.through):
            return [self.stack(x) for x in batches]


def build():
    """The group, a system whose layers are shared out, and the whole stack beside it."""
    init_distributed('pytorch')
    torch.manual_seed(0)
    stack = Stack()
    whole = copy.deepcopy(stack)
    system = System(stack)
    return system, whole, PartitionedLayers(system, [stack])


def batches(count):
    return list(torch.rand(count, 2, 3, generator=torch.Generator().manual_seed(count)))


def unequal_work():
    """Runs of 3 and 1 in evaluation, 0 and 2 in training, and 1 and 1 after an error of one."""
    system, whole, shared_out = build()
    rank = torch_dist.get_rank()
    found = {'equal': [], 'layers': len(shared_out.layers)}

    def run(count):
        given = batches(count)
        found['equal'] += [
            bool(out.equal(whole(x))) for out, x in zip(system(given), given, strict=True)
        ]

    system.eval()
    run((3, 1)[rank])
    found['met'] = gather_plain(rank)
    system.train()
    run((0, 2)[rank])
    run(1)
    system.stack.layers[1].fail = torch.OutOfMemoryError('out of memory') if rank == 0 else None
    try:
        run(1)
    except torch.OutOfMemoryError as error:
        found['error'] = str(error)
    system.stack.layers[1].fail = None
    run(1)
    layers = [parameter for layer in shared_out.layers for parameter in layer.parameters()]
    found['here'] = sum(p.numel() for p in layers)
    found['share'] = sum(p.ds_tensor.numel() for p in layers if hasattr(p, 'ds_tensor'))
    found['all'] = shared_out.num_parameters
    torch_dist.destroy_process_group()
    return found


def gradients(recompute=False):
    """Runs of 2 and 1 with a backward pass each; the gradients of prompt and adapters."""
    init_distributed('pytorch')
    torch.manual_seed(0)
    stack = Stack().requires_grad_(False)
    for layer in stack.modules():
        if isinstance(layer, Layer):
            layer.adapter, layer.recompute = nn.Parameter(torch.rand(3)), recompute
    whole = copy.deepcopy(stack)
    system = System(stack, through=True)
    # `System` froze the adapters too.
    for part in (stack, whole):
        for layer in part.modules():
            if isinstance(layer, Layer):
                layer.adapter.requires_grad_(True)
    shared_out = PartitionedLayers(system, [stack])
    found, rank = {'equal': []}, torch_dist.get_rank()
    for _ in range((2, 1)[rank]):
        sides = []
        for part in (system, whole):
            prompt = torch.linspace(-1, 1, 6).view(2, 3).requires_grad_()
            out = system([prompt])[0] if part is system else whole(prompt)
            inner = [p for p in part.parameters() if p.requires_grad]
            sides.append(torch.autograd.grad(out.square().sum(), [prompt, *inner]))
            if part is system:
                shared_out.end_backward()
        found['equal'] += [bool(a.equal(b)) for a, b in zip(*sides, strict=True)]
    # A pass ends twice on all processes together, after its forward and after its backward.
    for _ in range(2 * rank):
        shared_out.help_others()
    found['here'] = sum(p.numel() for x in shared_out.layers for p in x.parameters())
    return found


def recomputed_gradients():
    """The same with gradient checkpointing."""
    return gradients(recompute=True)
