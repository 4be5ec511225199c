"""The losses and training scores of one image's masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.losses import CrossEntropyLoss, DiceLoss
from torch import Tensor, nn

from flmm.registry import MODELS


@MODELS.register_module()
class MaskLoss(nn.Module):
    """Sigmoid cross-entropy and naive Dice of F-LMM, both mmdet's.

    Args:
        mask_weight: Weight of the cross-entropy, the mean over all pixels.
        dice_weight: Weight of ``1 - (2 sum(p t) + 1) / (sum p + sum t + 1)``, mean over masks.
    """

    def __init__(self, mask_weight: float = 1.0, dice_weight: float = 1.0) -> None:
        super().__init__()
        self.cross_entropy = CrossEntropyLoss(use_sigmoid=True, loss_weight=mask_weight)
        self.dice = DiceLoss(
            use_sigmoid=True, activate=True, naive_dice=True, eps=1.0, loss_weight=dice_weight
        )

    def forward(self, logits: Tensor, gt_masks: Tensor) -> dict[str, Tensor]:
        """Loss and scores of P masks.

        Args:
            logits: ``(P, h, w)``.
            gt_masks: ``(P, H, W)``, resized to the logits' size by nearest neighbour.

        Returns:
            ``loss_mask``, ``loss_dice``, ``accuracy`` (share of right pixels), ``aiou`` (mean
            IoU); the last two in 0..1 without gradient.
        """
        target = F.interpolate(gt_masks[None].float(), size=logits.shape[-2:])[0]
        flat, flat_target = logits.float().flatten(1), target.flatten(1)
        return {
            'loss_mask': self.cross_entropy(flat.flatten(), flat_target.flatten()),
            'loss_dice': self.dice(flat, flat_target),
            **mask_accuracy(logits.detach() > 0, target > 0.5),
        }


def mask_accuracy(pred: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Share of right pixels and mean IoU of ``(P, h, w)`` bool masks; an empty union counts 0."""
    intersection = (pred & target).sum(dim=(-2, -1)).float()
    union = (pred | target).sum(dim=(-2, -1)).float()
    iou = torch.where(union > 0, intersection / union.clamp(min=1), torch.zeros_like(union))
    return {'accuracy': (pred == target).float().mean(), 'aiou': iou.mean()}
