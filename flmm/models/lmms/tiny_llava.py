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
        max_position_embeddings=2048,
        tie_word_embeddings=True,
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
        tie_word_embeddings=True,
    )


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
