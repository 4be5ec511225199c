"""DeepSpeed's engine as flmm uses it: what is frozen stays as it is, gradients have one order."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import deepspeed
import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
from mmengine.dist import broadcast
from torch import nn

from flmm.models.lmms import BaseLMM

if TYPE_CHECKING:
    from .partitioned_lmm import PartitionedLayers


def join_deepspeed() -> None:
    """Make the process group known to DeepSpeed; nothing happens the second time."""
    if not torch.cuda.is_available():
        # Where it finds ninja, DeepSpeed would compile this for minutes, to speed up gloo.
        deepspeed.ops.__compatible_ops__['deepspeed_shm_comm'] = False
    deepspeed.init_distributed(verbose=False)


class FrugalEngine(DeepSpeedEngine):
    """DeepSpeed's engine, which leaves what is frozen as it was loaded.

    DeepSpeed casts all parameters to fp16 or bf16, where its config asks for that, and sends all
    of them from the first process to the others. A frozen LMM has a dtype of its own and was read
    from the same files everywhere, mostly as memory-mapped pages.

    Attributes:
        shared_out: The LMM's layers under ZeRO-3, None otherwise.
    """

    shared_out: PartitionedLayers | None = None

    def _cast_module_mixed_precision(
        self, param_dtype: torch.dtype | None, buffer_dtype: torch.dtype | None, zero_init: bool
    ) -> None:
        for child in _not_wholly_frozen(self.module):
            for parameter in child:
                here = getattr(parameter, 'ds_tensor', None) is None
                if here and param_dtype is not None and parameter.is_floating_point():
                    parameter.data = parameter.data.to(param_dtype)

    def _broadcast_model(self) -> None:
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                broadcast(parameter.data)

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Backward pass; see DeepSpeed's engine.

        Stages 1 and 2 lay gradients one after the other as they become ready and add that up over
        the processes. The order, and which are there at all, depend on the batch where heads do
        not always run: a process without a phrase would add its gradients to those of other
        parameters. Where the LMM, most of a system, is not trained, they are laid in order; and
        where it is shared out, as nothing else may travel while its layers do.
        """
        self.optimizer._coalesce_grad_reduction = self._in_order
        return super().backward(loss, *args, **kwargs)

    @functools.cached_property
    def _in_order(self) -> bool:
        lmms = [module for module in self.module.modules() if isinstance(module, BaseLMM)]
        trained = any(p.requires_grad for lmm in lmms for p in lmm.parameters())
        wanted = self.shared_out is not None or not trained
        return wanted and isinstance(self.optimizer, DeepSpeedZeroOptimizer)

    def _backward_epilogue(self) -> None:
        if self.shared_out is not None:
            self.shared_out.end_backward()
        if self._in_order:
            self.optimizer._coalesce_grad_reduction = False
            for index, group in enumerate(self.optimizer.bit16_groups):
                for parameter in group:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)
                    self.optimizer.process_gradients(parameter, index)
        super()._backward_epilogue()


def _not_wholly_frozen(model: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of the model itself, and of each part of it in which anything is trained."""
    parts = [list(model.parameters(recurse=False))]
    parts += [list(child.parameters()) for child in model.children()]
    return [part for part in parts if any(p.requires_grad for p in part)]
