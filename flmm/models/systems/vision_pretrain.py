"""Give the vision tower of an LMM a start by classifying patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from flmm.datasets.toy.patches import LABELS
from flmm.registry import MODELS


@MODELS.register_module()
class VisionPretrain(BaseModel):
    """Train only the vision tower, through a linear head on the features the LLM will read.

    Args:
        pretrained: Name or folder of a LLaVA-like model.
        autocast: Compute in bfloat16 where that is safe.
    """

    def __init__(self, pretrained: str, autocast: bool = False):
        super().__init__()
        self.pretrained = pretrained
        self.autocast = autocast
        self.lmm = AutoModelForImageTextToText.from_pretrained(pretrained, dtype=torch.float32)
        self.lmm.requires_grad_(False)
        self.tower = self.lmm.model.vision_tower
        self.tower.requires_grad_(True)
        channels = self.lmm.config.vision_config.hidden_size
        self.head = nn.Linear(channels, sum(LABELS.values()) + 2)

    def forward(
        self, pixel_values: Tensor, labels: Tensor, offsets: Tensor, mode: str = 'loss'
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch of ``ToyPatches``.

        Args:
            pixel_values: (B, 3, H, W).
            labels: (B, N, 4), -100 for no label.
            offsets: (B, N, 2), NaN for none.
            mode: Only ``'loss'``.

        Returns:
            One loss and one accuracy per column of the labels, ``loss_offset``.
        """
        if mode != 'loss':
            raise ValueError(f"VisionPretrain only trains: expected mode 'loss', got {mode!r}.")
        with torch.autocast(pixel_values.device.type, torch.bfloat16, enabled=self.autocast):
            states = self.tower(pixel_values, output_hidden_states=True).hidden_states
            features = states[self.lmm.config.vision_feature_layer][:, 1:]
            predicted = self.head(features).float()
        *logits, shift = predicted.split([*LABELS.values(), 2], dim=-1)
        results = {}
        for k, (name, scores) in enumerate(zip(LABELS, logits, strict=True)):
            target = labels[..., k].flatten()
            keep = target >= 0
            results[f'loss_{name}'] = F.cross_entropy(scores.flatten(0, 1)[keep], target[keep])
            right = scores.detach().flatten(0, 1)[keep].argmax(-1) == target[keep]
            results[f'accuracy_{name}'] = right.float().mean()
        known = ~offsets.isnan().any(-1)
        results['loss_offset'] = 10 * (shift[known] - offsets[known]).abs().mean()
        return results

    def export(self, folder: str) -> None:
        """Write the whole LMM, with the trained tower, as a Hugging Face folder."""
        self.lmm.save_pretrained(folder)
        AutoProcessor.from_pretrained(self.pretrained).save_pretrained(folder)
