"""Give SAM's image encoder a start by naming pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn
from transformers import SamModel, SamProcessor

from flmm.datasets.toy.patches import KINDS
from flmm.datasets.toy.pixels import NUM_COLORS
from flmm.registry import MODELS

_CLASSES = len(KINDS) + NUM_COLORS


@MODELS.register_module()
class SAMPretrain(BaseModel):
    """Train the image encoder, and the decoder's upscaling, to name pixels.

    The substitute for the masked-autoencoder start of the real SAM.

    Args:
        pretrained: Name or folder of a ``SamModel``.
        autocast: Compute in bfloat16 where that is safe.
    """

    def __init__(self, pretrained: str, autocast: bool = False):
        super().__init__()
        self.pretrained, self.autocast = pretrained, autocast
        self.sam = SamModel.from_pretrained(pretrained)
        self.sam.requires_grad_(False)
        decoder = self.sam.mask_decoder
        self.encoder = self.sam.vision_encoder.requires_grad_(True)
        for part in (decoder.upscale_conv1, decoder.upscale_layer_norm, decoder.upscale_conv2):
            part.requires_grad_(True)
        channels = decoder.upscale_conv1.in_channels
        self.names = nn.Conv2d(decoder.upscale_conv2.out_channels, _CLASSES, 1)
        self.direct_names = nn.Conv2d(channels, _CLASSES * 16, 1)
        self.shift = nn.Conv2d(channels, 2, 1)

    def forward(
        self, pixels: Tensor, kinds: Tensor, colors: Tensor, offsets: Tensor, mode: str = 'loss'
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch of ``ToyPixels``.

        Args:
            pixels: (B, 3, S, S).
            kinds: (B, S/2, S/2).
            colors: (B, S/2, S/2).
            offsets: (B, E, E, 2).
            mode: Only ``'loss'``.

        Returns:
            ``loss_kind`` and ``loss_color`` of the upscaled map, ``loss_direct_*`` of a
            linear head on the embedding, ``loss_offset``, and two accuracies.
        """
        if mode != 'loss':
            raise ValueError(f"SAMPretrain only trains: expected mode 'loss', got {mode!r}.")
        decoder = self.sam.mask_decoder
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.autocast):
            embedding = self.encoder(pixels).last_hidden_state
            upscaled = decoder.upscale_layer_norm(decoder.upscale_conv1(embedding))
            upscaled = decoder.activation(decoder.upscale_conv2(decoder.activation(upscaled)))
            direct = F.pixel_shuffle(self.direct_names(embedding), 4).float()
            named, shift = self.names(upscaled).float(), self.shift(embedding).float()
        results = {}
        groups = [len(KINDS), NUM_COLORS]
        parts = zip(named.split(groups, dim=1), direct.split(groups, dim=1), strict=True)
        targets = (('kind', kinds), ('color', colors))
        for (name, target), (logits, early) in zip(targets, parts, strict=True):
            results[f'loss_{name}'] = F.cross_entropy(logits, target)
            results[f'loss_direct_{name}'] = F.cross_entropy(early, target)
            known = target >= 0
            right = logits.detach().argmax(1)[known] == target[known]
            results[f'accuracy_{name}'] = right.float().mean()
        known = ~offsets.isnan().any(-1)
        error = shift.permute(0, 2, 3, 1)[known] - offsets[known]
        results['loss_offset'] = 5 * error.abs().mean()
        return results

    def export(self, folder: str) -> None:
        """Write the SAM as a Hugging Face folder."""
        self.sam.save_pretrained(folder)
        SamProcessor.from_pretrained(self.pretrained).save_pretrained(folder)
