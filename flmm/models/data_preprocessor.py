"""Moves batches of structures to the device."""

from __future__ import annotations

from mmengine.model import BaseDataPreprocessor

from flmm.registry import MODELS


@MODELS.register_module()
class StructuresToDevice(BaseDataPreprocessor):
    """Move ``inputs`` (a list of ``LMMInputs``) to the device; images and masks stay put.

    Ground-truth masks are moved by the loss, where only those of kept phrases are needed.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the batch with its model tensors on the device of this module."""
        moved = dict(data)
        if 'inputs' in moved:
            moved['inputs'] = [sample.to(self.device) for sample in moved['inputs']]
        return moved
