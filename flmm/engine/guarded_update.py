"""Backward pass and step of one batch, left out where loss or gradients are not finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

#: What a process says of its forward pass; where processes differ, the worst counts for all.
FINE, NONFINITE, NO_MEMORY = 0, 1, 2


class SplitRequested(Exception):  # noqa: N818 (no failure: a word between processes)
    """Another process has no memory for the whole batch."""


class GuardedUpdate:
    """Stands in for the optimiser wrapper while a model computes its loss.

    Attributes:
        wrapper: The real one.
        agreed: Whether the processes have agreed on the forward pass.
        verdict: What they agreed on, later also what the gradients were like.
        stage: ``'loss'`` or ``'gradients'``: what was found not finite.
        too_late: Whether the weights have changed by it.
        inner_count: The wrapper's count of micro-batches before this one.
        summed_late: Whether backward passes only add up gradients until the last of a step, in
            which DDP sums them over processes.
    """

    def __init__(self, wrapper: Any) -> None:
        self.wrapper = wrapper
        self.agreed, self.verdict, self.stage, self.too_late = False, FINE, '', False
        self.inner_count = getattr(wrapper, '_inner_count', 0)
        self.summed_late = False

    @property
    def device(self) -> torch.device:
        """Where the weights are: NCCL only speaks through GPUs."""
        for group in self.wrapper.optimizer.param_groups:
            for parameter in group['params']:
                return parameter.device
        return torch.device('cpu')

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The wrapper's own context."""
        self.summed_late = isinstance(model, DistributedDataParallel)
        with self.wrapper.optim_context(model):
            yield

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward and step, unless the loss or the gradients are not finite."""
        verdict = agree(FINE if is_finite(loss) else NONFINITE, loss.device)
        if verdict == NO_MEMORY:
            raise SplitRequested
        self.agreed = True
        self.verdict = max(self.verdict, verdict)
        if verdict == NONFINITE:
            self.stage = 'loss'
            self._leave_out()
        elif isinstance(self.wrapper, OptimWrapper):
            self._backward(loss)
            self._step_if_due()
        else:
            self._deepspeed(loss, *args, **kwargs)

    def _backward(self, loss: Tensor) -> None:
        self.wrapper.backward(self.wrapper.scale_loss(loss))

    def _leave_out(self) -> None:
        """Count the micro-batch without its gradients."""
        if isinstance(self.wrapper, OptimWrapper):
            self.wrapper._inner_count += 1
            self._step_if_due()

    def _step_if_due(self) -> None:
        wrapper = self.wrapper
        if not wrapper.should_update():
            return
        parameters = [p for group in wrapper.optimizer.param_groups for p in group['params']]
        if self.verdict != FINE and self.summed_late:
            average_gradients(parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        # fp16 with a loss scaler: it expects infinities and handles them itself. DDP has summed
        # the gradients, so all processes see the same.
        if hasattr(wrapper, 'loss_scaler') or all_finite(gradients):
            if gradients:
                wrapper.step()
        else:
            self.verdict, self.stage = NONFINITE, 'gradients'
        wrapper.zero_grad()

    def _deepspeed(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        engine = self.wrapper.model
        skipped = getattr(engine, 'skipped_steps', 0)
        self.wrapper.update_params(loss, *args, **kwargs)
        if getattr(engine, 'skipped_steps', 0) > skipped:
            # Its own overflow check; with fp16 that is how the loss scale is found.
            if not engine.fp16_enabled():
                self.verdict, self.stage = NONFINITE, 'gradients'
            return
        norm = engine.get_global_grad_norm() if hasattr(engine, 'get_global_grad_norm') else None
        if norm is not None and not is_finite(norm):
            self.verdict, self.stage, self.too_late = NONFINITE, 'gradients', True


class PartialUpdate(GuardedUpdate):
    """Backward of a part of a batch; the last part makes the step, unless one was spoiled."""

    def __init__(self, wrapper: OptimWrapper, share: float, last: bool, spoiled: bool) -> None:
        super().__init__(wrapper)
        self.share, self.last, self.spoiled = share, last, spoiled

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The wrapper's own context; gradients are summed over processes in the last part."""
        quiet = not self.last and hasattr(model, 'no_sync')
        with model.no_sync() if quiet else contextlib.nullcontext():
            with self.wrapper.optim_context(model):
                yield

    def _backward(self, loss: Tensor) -> None:
        super()._backward(loss * self.share)

    def _step_if_due(self) -> None:
        if self.last and (self.spoiled or self.verdict != FINE):
            # Half a batch is not what the loss is the mean of.
            self.wrapper.zero_grad()
        elif self.last:
            super()._step_if_due()
        else:
            # The batch counts once.
            self.wrapper._inner_count -= 1


def agree(verdict: int, device: torch.device) -> int:
    """The worst verdict of all processes, which all call this.

    Args:
        verdict: ``FINE``, ``NONFINITE`` or ``NO_MEMORY``.
        device: Where they talk: NCCL only speaks through GPUs.
    """
    if get_world_size() == 1:
        return verdict
    box = torch.tensor(verdict, device=device)
    all_reduce(box, 'max')
    return int(box)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Do what DDP does in the last backward pass of a step, where that was left out.

    All processes call this together. As with DDP, what no process has used keeps no gradient.

    Args:
        parameters: With the gradients of this process; they get the mean over all processes.
    """
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
    used = used.to(parameters[0].device)
    all_reduce(used, 'max')
    for parameter, anywhere in zip(parameters, used.tolist(), strict=True):
        if anywhere:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            all_reduce(parameter.grad, 'mean')


def is_finite(value: Any) -> bool:
    """Whether a number, or all of a tensor, is neither NaN nor infinite."""
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value.detach()).all())
    return not isinstance(value, (int, float)) or math.isfinite(value)


def all_finite(tensors: list[Tensor]) -> bool:
    """One norm over all, so that a GPU is waited for once."""
    if not tensors:
        return True
    dense = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    # In float32: a sum of squares in float16 overflows where every value is fine.
    norms = [torch.linalg.vector_norm(t, dtype=torch.float32) for t in dense]
    return bool(torch.isfinite(torch.stack([n.to(norms[0].device) for n in norms])).all())
