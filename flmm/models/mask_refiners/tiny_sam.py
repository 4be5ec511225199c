"""An untrained SAM of about two million parameters, in the real architecture and files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

IMAGE_SIZE = 128
PATCH_SIZE = 8


def tiny_sam_config() -> SamConfig:
    """Architecture of the tiny SAM: 128 px, 16x16 embedding, 64x64 masks."""
    prompt_channels = 96
    return SamConfig(
        vision_config={
            'hidden_size': 96,
            'output_channels': prompt_channels,
            'num_hidden_layers': 4,
            'num_attention_heads': 4,
            'image_size': IMAGE_SIZE,
            'patch_size': PATCH_SIZE,
            'window_size': 8,
            'global_attn_indexes': [1, 3],
            'num_pos_feats': prompt_channels // 2,
            'mlp_dim': 384,
        },
        prompt_encoder_config={
            'hidden_size': prompt_channels,
            'image_size': IMAGE_SIZE,
            'patch_size': PATCH_SIZE,
            'mask_input_channels': 16,
        },
        mask_decoder_config={
            'hidden_size': prompt_channels,
            'mlp_dim': 192,
            'num_attention_heads': 4,
            'iou_head_hidden_dim': 96,
        },
    )


@torch.no_grad()
def _scale_by_fan_in(model: nn.Module) -> None:
    """Draw every linear map and convolution with variance 1 / inputs.

    transformers uses one deviation for all, which is far too small for narrow
    layers: the signal would fade on its way to the masks.
    """
    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d):
            # Kernel and stride are equal: each output sees one pixel.
            fan_in = module.in_channels
        elif isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
        else:
            continue
        module.weight.normal_(0, fan_in**-0.5)


def write_untrained_tiny_sam(folder: str | Path, seed: int = 0) -> None:
    """Write a Hugging Face folder with random weights and the image processor.

    Args:
        folder: Where to; made if missing.
        seed: Seed of the weights. The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SamModel(tiny_sam_config())
        _scale_by_fan_in(model)
        # transformers multiplies the random frequencies by hidden_size / 2; at the scale of 1 that
        # SAM was trained with, near positions have like codes.
        frequencies = torch.randn_like(model.shared_image_embedding.positional_embedding)
        model.shared_image_embedding.positional_embedding.data.copy_(frequencies)
        model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(frequencies)
    model.save_pretrained(folder)
    image_processor = SamImageProcessor(
        size={'longest_edge': IMAGE_SIZE},
        pad_size={'height': IMAGE_SIZE, 'width': IMAGE_SIZE},
        mask_size={'longest_edge': IMAGE_SIZE // 2},
        mask_pad_size={'height': IMAGE_SIZE // 2, 'width': IMAGE_SIZE // 2},
    )
    SamProcessor(image_processor).save_pretrained(folder)
