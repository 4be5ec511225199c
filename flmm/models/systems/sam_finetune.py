"""Train a SAM from random weights on segments with box and mask prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor
from transformers import SamModel, SamProcessor

from flmm.models.losses import MaskLoss
from flmm.models.losses.mask_losses import mask_accuracy
from flmm.registry import MODELS

PROMPTS = ('both', 'box', 'mask')


@MODELS.register_module()
class SAMFineTune(BaseModel):
    """All of a SAM learns to complete imperfect prompts.

    Shapes: B images, N prompts of each, S side of the image, M = S / 2 side of
    the masks.

    Args:
        pretrained: Name or folder of a transformers ``SamModel``.
        prompt_chances: How often a batch is prompted with both, boxes only,
            masks only.
        autocast: Compute in bfloat16 where that is safe.
    """

    def __init__(
        self,
        pretrained: str,
        prompt_chances: tuple[float, float, float] = (0.5, 0.35, 0.15),
        autocast: bool = False,
    ):
        super().__init__()
        self.sam = SamModel.from_pretrained(pretrained)
        self.pretrained = pretrained
        self.mask_loss = MaskLoss()
        self.autocast = autocast
        self.register_buffer('chances', torch.tensor(prompt_chances), persistent=False)

    def forward(self, mode: str = 'loss', **batch: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch of ``PanopticPrompts``.

        Args:
            mode: Only ``'loss'``; see :meth:`predict` for masks.
            **batch: ``pixels`` (B, 3, S, S), ``valid`` (B, S, S), ``masks``
                (B, N, S, S), ``mask_prompts`` (B, N, M, M), ``boxes`` (B, N, 4).

        Returns:
            ``loss_mask``, ``loss_dice``, ``loss_iou`` (of SAM's own estimate of
            its IoU), and ``aiou``, the mean IoU of the masks, without gradient.
        """
        if mode != 'loss':
            raise ValueError(f"SAMFineTune.forward expects mode 'loss', got {mode!r}.")
        kind = PROMPTS[int(torch.multinomial(self.chances, 1))]
        with torch.autocast(batch['pixels'].device.type, torch.bfloat16, enabled=self.autocast):
            logits, scores = self.decode(batch, kind)
        logits = F.interpolate(logits.float(), scale_factor=2, mode='bilinear')
        # Padding says nothing about the object: it counts as surely outside.
        logits = logits.masked_fill(~batch['valid'][:, None], -20.0).flatten(0, 1)
        target = batch['masks'].flatten(0, 1)
        losses = self.mask_loss(logits, target)
        union = ((logits > 0) | target).sum((1, 2)).clamp(min=1)
        iou = ((logits > 0) & target).sum((1, 2)) / union
        return {
            'loss_mask': 4 * losses['loss_mask'],
            'loss_dice': losses['loss_dice'],
            'loss_iou': F.mse_loss(scores.float().flatten(), iou),
            'aiou': losses['aiou'],
        }

    def decode(self, batch: dict[str, Tensor], kind: str) -> tuple[Tensor, Tensor]:
        """Decode masks for one kind of prompts.

        Args:
            batch: As in :meth:`forward`.
            kind: One of ``PROMPTS``.

        Returns:
            Logits (B, N, M, M) and estimated IoUs (B, N).
        """
        count, prompts = batch['boxes'].shape[:2]
        embeddings = self.sam.vision_encoder(batch['pixels']).last_hidden_state
        sparse, dense = self.sam.prompt_encoder(
            input_points=None,
            input_labels=None,
            input_boxes=batch['boxes'].reshape(-1, 1, 4) if kind != 'mask' else None,
            input_masks=batch['mask_prompts'].flatten(0, 1)[:, None] if kind != 'box' else None,
        )
        if dense.shape[0] != count * prompts:
            dense = dense.expand(count * prompts, -1, -1, -1)
        masks, scores = self.sam.mask_decoder(
            image_embeddings=embeddings.repeat_interleave(prompts, 0),
            image_positional_embeddings=self.sam.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return masks.view(count, prompts, *masks.shape[-2:]), scores.view(count, prompts)

    @torch.no_grad()
    def mean_iou(self, batch: dict[str, Tensor], kind: str) -> float:
        """Mean IoU of the predicted masks of a batch, in 0..1."""
        logits, _ = self.decode(batch, kind)
        logits = F.interpolate(logits, scale_factor=2, mode='bilinear')
        pred = (logits > 0) & batch['valid'][:, None]
        return float(mask_accuracy(pred.flatten(0, 1), batch['masks'].flatten(0, 1))['aiou'])

    def export(self, folder: str) -> None:
        """Write the SAM with its processor as a Hugging Face folder."""
        self.sam.save_pretrained(folder)
        SamProcessor.from_pretrained(self.pretrained).save_pretrained(folder)
