"""Train a LLaVA-like LMM on conversations: the language loss of its answers."""

from __future__ import annotations

import torch
from mmengine.model import BaseModel
from transformers import AutoModelForImageTextToText, AutoProcessor

from flmm.registry import MODELS


@MODELS.register_module()
class LMMFineTune(BaseModel):
    """An unfrozen LMM with its own language loss.

    Args:
        pretrained: Name or folder of a transformers image-text-to-text model.
        autocast: Compute in bfloat16 where that is safe (four times faster on
            CPUs with AMX or AVX512-BF16; the weights stay float32).
        freeze_vision: Keep the vision tower as it is, as LLaVA does.
    """

    def __init__(self, pretrained: str, autocast: bool = False, freeze_vision: bool = False):
        super().__init__()
        self.lmm = AutoModelForImageTextToText.from_pretrained(
            pretrained, dtype=torch.float32, attn_implementation='sdpa'
        )
        self.lmm.model.vision_tower.requires_grad_(not freeze_vision)
        self.pretrained = pretrained
        self.autocast = autocast

    def forward(self, mode: str = 'loss', **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch made by ``collate_conversations``.

        Args:
            mode: Only ``'loss'``.
            **batch: ``input_ids``, ``labels``, ``attention_mask`` (B, T) and
                ``pixel_values``.

        Returns:
            ``loss``: mean cross-entropy of the answers' tokens; ``accuracy``:
            share of them predicted right.
        """
        if mode != 'loss':
            raise ValueError(f"LMMFineTune only trains: expected mode 'loss', got {mode!r}.")
        labels = batch.pop('labels')
        # Padding is on the right: no answer's token can attend to it, and the
        # purely causal attention is the faster one.
        del batch['attention_mask']
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=self.autocast):
            hidden = self.lmm.model(**batch, use_cache=False).last_hidden_state
            # The head runs on the answers' tokens only.
            keep = labels[:, 1:] >= 0
            logits = self.lmm.lm_head(hidden[:, :-1][keep])
        targets = labels[:, 1:][keep]
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
        accuracy = (logits.detach().argmax(-1) == targets).float().mean()
        return {'loss': loss, 'accuracy': accuracy}

    def export(self, folder: str) -> None:
        """Write the LMM with its processor as a Hugging Face folder."""
        self.lmm.save_pretrained(folder)
        AutoProcessor.from_pretrained(self.pretrained).save_pretrained(folder)
