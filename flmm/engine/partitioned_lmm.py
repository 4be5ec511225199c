"""ZeRO-3 of a frozen LMM: its layers are shared out, and whole only while they run.

DeepSpeed's own stage 3 gathers a parameter when a module asks for it, and all processes must ask
alike. Those of F-LMM do not: they have batches without a phrase, unequal shares of a validation
set, texts of different length to write. So DeepSpeed shares out and gathers here as ever, but
before each layer the processes agree on which one is next; who does not need it helps the others.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import deepspeed
import torch
import torch.distributed as torch_dist
from torch import Tensor, nn

from flmm.models.lmms import BaseLMM
from flmm.utils.errors import FLMMError

from .dist import agree_on_least, before_meeting
from .frugal_engine import join_deepspeed

#: What a process says that needs no layer: more than the index of any.
_NOTHING = 2**31


def find_layers(module: nn.Module) -> list[nn.Module]:
    """The layers of a model: what its outermost module lists hold, as far as it is called.

    Args:
        module: An LMM, with a vision tower perhaps.

    Returns:
        Layers in the order in which they are registered; none lies inside another.
    """
    return list(_layers(module, in_list=False))


def _layers(module: nn.Module, in_list: bool) -> Iterator[nn.Module]:
    # Lists of lists, and holders that are never called, have no forward of their own.
    called = type(module).forward is not nn.Module.forward
    if in_list and called and any(True for _ in module.parameters()):
        yield module
        return
    for child in module.children():
        yield from _layers(child, isinstance(module, nn.ModuleList) or (in_list and not called))


def find_lmms(model: nn.Module) -> list[BaseLMM]:
    """The LMMs of a system."""
    return [module for module in model.modules() if isinstance(module, BaseLMM)]


def trained_layers(model: nn.Module) -> list[nn.Module]:
    """Layers of a system's LMMs that are trained as a whole, not by adapters."""
    return [
        layer
        for lmm in find_lmms(model)
        for layer in find_layers(lmm)
        if all(parameter.requires_grad for parameter in layer.parameters())
    ]


class PartitionedLayers:
    """The frozen layers of LMMs, of which each process keeps an equal part.

    What is trained stays whole (adapters inside a layer too), and so do embeddings, norms between
    stacks and heads, a few percent of an LMM; parameters that several modules share; quantised
    ones. Gradients may flow through the layers: each is gathered once more on the way back.

    Args:
        model: The system. While it trains, its forward ends on all processes together.
        lmms: Parts of it.
        offload: DeepSpeed's ``offload_param``: with ``device='cpu'`` the shares stay in CPU memory.

    Attributes:
        layers: The layers that are shared out.
        num_parameters: Numbers in them.

    Raises:
        FLMMError: The shares are to be on another device.
    """

    def __init__(
        self, model: nn.Module, lmms: Iterable[nn.Module], offload: dict[str, Any] | None = None
    ) -> None:
        offload = offload or {}
        if offload.get('device') not in (None, 'none', 'cpu'):
            raise FLMMError(
                f'offload_param.device is {offload["device"]!r}; the layers of a frozen LMM may '
                "stay on the GPU ('none') or in CPU memory ('cpu')."
            )
        join_deepspeed()
        self._zero = deepspeed.zero.Init(
            mem_efficient_linear=False,
            remote_device=offload.get('device'),
            pin_memory=offload.get('pin_memory', False),
        )
        self._lost_step = False
        # Why a layer is whole here: it runs, or gradients flow through it.
        self._holds: Counter[int] = Counter()
        self._on_way_back: int | None = None
        lmms = list(lmms)
        uses = Counter(id(p) for lmm in lmms for m in lmm.modules() for p in _own_parameters(m))
        self.layers: list[nn.Module] = []
        self._parameters: list[list[nn.Parameter]] = []
        for layer in (layer for lmm in lmms for layer in find_layers(lmm)):
            parameters = [p for p in layer.parameters() if uses[id(p)] == 1 and _is_plain(p)]
            if parameters:
                self._share_out(parameters)
                self._watch(layer, len(self.layers))
                self.layers.append(layer)
                self._parameters.append(parameters)
        self.num_parameters = sum(p.ds_numel for part in self._parameters for p in part)
        model.register_forward_hook(self._after_system, always_call=True)
        before_meeting(self.help_others)

    def _share_out(self, parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            # One at a time: of a memory-mapped file only the own share is copied. DeepSpeed would
            # send each from the first process to the others, who have read the same files.
            parameter.data = parameter.data.to(self._zero.local_device)
            self._zero._convert_to_deepspeed_param(parameter)
            parameter.partition()

    def _watch(self, layer: nn.Module, index: int) -> None:
        def before(*_: Any) -> None:
            self._obtain(index)

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for tensor in _tensors(output):
                if tensor.requires_grad:
                    tensor.register_hook(back)
            self._give_up(index)

        def back(_: Tensor) -> None:
            # Layers come one after the other: the gradients have passed the one after this.
            if self._on_way_back != index:
                self._leave_way_back()
                self._obtain(index)
                self._on_way_back = index

        # The first before, and the last after, anything that looks at the layer.
        layer.register_forward_pre_hook(before, prepend=True)
        layer.register_forward_hook(after, always_call=True)

    def _obtain(self, index: int) -> None:
        """Make a layer whole, after those that other processes need first."""
        if not self._holds[index]:
            while (turn := self._agree(index)) != index:
                self._gather(turn)
                self._drop(turn)
            self._gather(index)
        self._holds[index] += 1

    def _give_up(self, index: int) -> None:
        # An error before the layer was whole also ends here.
        self._holds[index] = max(0, self._holds[index] - 1)
        if not self._holds[index]:
            self._drop(index)

    def _leave_way_back(self) -> None:
        index, self._on_way_back = self._on_way_back, None
        if index is not None:
            self._give_up(index)

    def end_backward(self) -> None:
        """Drop the last layer of a backward pass, and help the others to theirs."""
        self._leave_way_back()
        self.help_others()

    def help_others(self) -> None:
        """Take part in gathering until no process needs a layer."""
        while not self._lost_step and (turn := self._agree(_NOTHING)) != _NOTHING:
            self._gather(turn)
            self._drop(turn)

    def _agree(self, wanted: int) -> int:
        # The lowest first: who is behind catches up, and from there on all go together.
        with self._in_step():
            return agree_on_least(wanted)

    def _gather(self, index: int) -> None:
        parameters = [p for p in self._parameters[index] if p.ds_status.name == 'NOT_AVAILABLE']
        with self._in_step(), torch.no_grad():
            parameters[0].all_gather_coalesced(parameters).wait()

    def _drop(self, index: int) -> None:
        whole = [p for p in self._parameters[index] if p.ds_status.name == 'AVAILABLE']
        if whole:
            whole[0].partition(whole)

    @contextlib.contextmanager
    def _in_step(self) -> Iterator[None]:
        """Around what the processes do together: after a failure there they do not meet again."""
        try:
            yield
        except BaseException as error:
            self._lost_step = True
            if not isinstance(error, (RuntimeError, MemoryError)):
                raise
            # Of a type that nobody takes for too large a batch and tries again.
            raise FLMMError(
                f'Process {torch_dist.get_rank()} could not gather a layer of the LMM with the '
                f'others: {error}. Did another process fail? If memory ran out: a smaller '
                'train_dataloader.batch_size leaves room for a whole layer.'
            ) from error

    def _after_system(self, system: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        # Before the processes agree on the loss. Evaluation has other shares for each process, and
        # meets when its results are collected.
        if system.training:
            self.help_others()


def _own_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    return (p for p in module._parameters.values() if p is not None)


def _is_plain(parameter: nn.Parameter) -> bool:
    """Whether a parameter is frozen and is its numbers; bitsandbytes keeps more beside it."""
    return type(parameter) is nn.Parameter and not parameter.requires_grad and parameter.numel() > 0


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
