"""An untrained LLaVA of a few million parameters, in the real architecture and files."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)


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
def init_attention_to_copy(model: LlavaForConditionalGeneration, output_gain: float = 0.1) -> None:
    """Let every head of the LLM begin by attending to its like and copying it.

    Queries and keys of a head start as one random projection, values and
    outputs as another and its transpose ("mimetic initialization", arXiv
    2305.09828, without its position part). From independent random matrices
    a model this small stays for an hour on the plateau where it neither looks
    nor copies.

    Args:
        model: Changed in place.
        output_gain: Size of what a head adds, relative to what it reads.
    """
    config = model.config.text_config
    heads, size = config.num_attention_heads, config.head_dim
    for layer in model.model.language_model.layers:
        attention = layer.self_attn
        for head in range(heads):
            look = torch.linalg.qr(torch.randn(config.hidden_size, size))[0].T
            copy = torch.linalg.qr(torch.randn(config.hidden_size, size))[0].T
            rows = slice(head * size, (head + 1) * size)
            # From blurred to sharp over the heads of a layer.
            gain = (0.3 + 1.2 * head / (heads - 1)) ** 0.5
            attention.q_proj.weight[rows] = gain * look
            attention.k_proj.weight[rows] = gain * look
            attention.v_proj.weight[rows] = copy
            attention.o_proj.weight[:, rows] = output_gain * copy.T


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
        init_attention_to_copy(model)
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
