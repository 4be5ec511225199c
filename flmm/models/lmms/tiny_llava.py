"""An untrained LLaVA of a few million parameters, in the real architecture and files."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.modeling_clip import CLIPEncoderLayer, CLIPVisionEmbeddings


def tiny_llava_config(tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    """Architecture of the tiny LLaVA: 12x12 visual tokens, 5 layers of 8 heads."""
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=96,
        patch_size=8,
        projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=5,
        num_attention_heads=8,
        num_key_value_heads=8,
        head_dim=32,
        # Half of each head's channels turn less than once over a sequence: they compare contents.
        rope_parameters={'rope_type': 'default', 'rope_theta': 1e5},
        initializer_range=0.03,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids('<image>'),
        image_seq_length=144,
        vision_feature_layer=-2,
        vision_feature_select_strategy='default',
        projector_hidden_act='gelu',
        tie_word_embeddings=False,
    )


@torch.no_grad()
def init_attention_to_copy(
    attentions: list[nn.Module], heads: int, gains: tuple[float, float], output_gain: float
) -> None:
    """Let every head begin by attending to its like and copying it.

    Queries and keys of a head start as one random projection, values and
    outputs as another and its transpose ("mimetic initialization", arXiv
    2305.09828). From independent random matrices a model this small stays for
    an hour on the plateau where it neither looks nor copies.

    Args:
        attentions: Attention modules with ``q_proj``, ``k_proj``, ``v_proj``
            and ``o_proj`` or ``out_proj``; changed in place.
        heads: How many heads each has.
        gains: Sharpness of the first and of the last head of a layer.
        output_gain: Size of what a head adds, relative to what it reads.
    """
    for attention in attentions:
        out = attention.o_proj if hasattr(attention, 'o_proj') else attention.out_proj
        channels, size = attention.q_proj.in_features, attention.q_proj.out_features // heads
        for head in range(heads):
            look = torch.linalg.qr(torch.randn(channels, size))[0].T
            copy = torch.linalg.qr(torch.randn(channels, size))[0].T
            rows = slice(head * size, (head + 1) * size)
            gain = (gains[0] + (gains[1] - gains[0]) * head / (heads - 1)) ** 0.5
            attention.q_proj.weight[rows] = gain * look
            attention.k_proj.weight[rows] = gain * look
            attention.v_proj.weight[rows] = copy
            out.weight[:, rows] = output_gain * copy.T


def sine_positions(grid: int, channels: int, amplitude: float = 0.4) -> Tensor:
    """Positions (grid^2, channels) of which near ones are alike: attention starts local."""
    count = channels // 4
    wavelengths = torch.logspace(math.log10(4), math.log10(4 * grid), count)
    angles = 2 * math.pi * torch.arange(grid)[:, None] / wavelengths
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = waves[:, None].expand(-1, grid, -1)
    columns = waves[None].expand(grid, -1, -1)
    return amplitude * torch.cat([rows, columns], dim=-1).flatten(0, 1)


@torch.no_grad()
def _init(model: LlavaForConditionalGeneration) -> None:
    text, vision = model.config.text_config, model.config.vision_config
    layers = model.model.language_model.layers
    init_attention_to_copy(
        [layer.self_attn for layer in layers], text.num_attention_heads, (0.3, 1.5), 0.1
    )
    layers = [m for m in model.model.vision_tower.modules() if isinstance(m, CLIPEncoderLayer)]
    init_attention_to_copy(
        [layer.self_attn for layer in layers], vision.num_attention_heads, (0.5, 3.0), 0.4
    )
    positions = next(
        m for m in model.model.vision_tower.modules() if isinstance(m, CLIPVisionEmbeddings)
    ).position_embedding.weight
    grid = vision.image_size // vision.patch_size
    positions[1:] = sine_positions(grid, vision.hidden_size)


def write_untrained_tiny_llava(
    folder: str | Path, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> None:
    """Write a Hugging Face folder with random weights, tokenizer and processor.

    Args:
        folder: Where to; made if missing.
        tokenizer: Its vocabulary fixes the size of the embeddings.
        seed: Seed of the weights. The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(tiny_llava_config(tokenizer))
        _init(model)
    size = model.config.vision_config.image_size
    image_processor = CLIPImageProcessor(
        size={'shortest_edge': size}, crop_size={'height': size, 'width': size}
    )
    processor = LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=model.config.vision_config.patch_size,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        image_token='<image>',
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
