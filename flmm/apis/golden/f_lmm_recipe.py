"""Rebuilds the models of the recorded F-LMM cases: weights are a function of name and shape."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlavaConfig

from flmm.models.mask_refiners import SAMRefiner
from flmm.models.official_keys import f_lmm_keys
from flmm.models.systems import FLMM


def recipe_tensor(key: str, shape: list[int], seed: int) -> Tensor:
    """The recorded case's weight of an official name.

    Args:
        key: Name of the weight in the official state dict.
        shape: Its shape.
        seed: Seed of the case.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(f'{seed}:{key}'.encode()))
    base, scale = _rule(key, shape)
    return base + scale * torch.randn(shape, generator=generator, dtype=torch.float32)


def _rule(key: str, shape: list[int]) -> tuple[float, float]:
    last = key.split('.')[-1]
    if last == 'text_layer_weights':
        return 1.0, 0.5
    if last == 'positional_encoding_gaussian_matrix':
        return 0.0, 1.0
    if len(shape) <= 1:
        return (1.0, 0.1) if last == 'weight' else (0.0, 0.1)
    if last == 'pos_embed' or 'position_embedding' in key:
        return 0.0, 1 / math.sqrt(shape[-1])
    return 0.0, 1 / math.sqrt(math.prod(shape[1:]))


def recipe_weights(keys: Mapping[str, list], seed: int) -> dict[str, Tensor]:
    """All weights of a case under their official names.

    Args:
        keys: Contents of its ``keys.json``.
        seed: Seed of the case.

    Raises:
        ValueError: A tensor does not have the recorded sum, so the recipe is not the same.
    """
    weights = {}
    for key, row in keys.items():
        if key.startswith('_'):
            continue
        weights[key] = recipe_tensor(key, row[0], seed)
        total = float(weights[key].double().sum())
        if abs(total - row[3]) > 1e-6 * max(1.0, row[4]):
            raise ValueError(f'{key}: recipe gives the sum {total}, keys.json records {row[3]}.')
    return weights


def write_llava(folder: Path, case: Mapping, weights: Mapping[str, Tensor]) -> None:
    """Write a LLaVA-1.5 case's LMM as a folder in the layout of the real hub repositories."""
    config = LlavaConfig(
        vision_config=dict(case['vision_config'], model_type='clip_vision_model'),
        text_config=dict(case['text_config'], pad_token_id=case['pad_token_id']),
        image_token_index=case['image_token_index'],
        vision_feature_layer=case['vision_feature_layer'],
        vision_feature_select_strategy=case['vision_feature_select_strategy'],
        projector_hidden_act=case['projector_hidden_act'],
        architectures=['LlavaForConditionalGeneration'],
        tie_word_embeddings=False,
    )
    config.save_pretrained(folder)
    own = {k.removeprefix('llava.'): v for k, v in weights.items() if k.startswith('llava.')}
    save_file(own, folder / 'model.safetensors', metadata={'format': 'pt'})


def sam_config(case: Mapping) -> dict:
    """Sizes of a case's SAM as ``SamConfig`` takes them."""
    sam = case['sam']
    return dict(
        vision_config=dict(
            hidden_size=sam['encoder_embed_dim'],
            num_hidden_layers=sam['encoder_depth'],
            num_attention_heads=sam['encoder_num_heads'],
            global_attn_indexes=sam['encoder_global_attn_indexes'],
            image_size=sam['image_size'],
            output_channels=sam['prompt_embed_dim'],
            mlp_ratio=4.0,
        )
    )


def build_f_lmm(
    case: Mapping,
    keys: Mapping[str, list],
    folder: Path,
    write_lmm: Callable[[Path, Mapping, Mapping], None] = write_llava,
    **lmm_options,
) -> FLMM:
    """Build and fill the recorded model.

    Args:
        case: Contents of ``case.json``.
        keys: Contents of ``keys.json``.
        folder: Empty folder for the LMM's files.
        write_lmm: Writes the LMM in its real layout.
        **lmm_options: Further arguments of the LMM.

    Raises:
        ValueError: Names or shapes differ from the official ones.
    """
    weights = recipe_weights(keys, case['seed'])
    write_lmm(folder, case, weights)
    sam = case['sam']
    model = FLMM(
        lmm=dict(type='HFLMM', pretrained=str(folder), dtype='float32', **lmm_options),
        mask_head=dict(
            type='UNetMaskHead',
            in_channels=case['unet']['in_channels'],
            base_channels=case['unet']['base_channels'],
            num_stages=case['unet']['num_stages'],
            upsample_to=case['unet']['upsample_input'],
        ),
        mask_refiner=dict(
            type=SAMRefiner,
            config=sam_config(case),
            use_text=sam['use_text'],
            use_mask=sam['use_mask'],
            use_box=sam['use_box'],
            multimask_output=sam['multimask_output'],
        ),
        targets_in='lmm',
    )
    head = {
        new: tensor
        for old, tensor in weights.items()
        if re.match(r'(sam\.model|mask_head|text_)', old)
        for new in f_lmm_keys(old)
    }
    missing, unexpected = model.load_state_dict(head, strict=False)
    missing = [name for name in missing if not name.startswith('lmm.')]
    if missing or unexpected:
        raise ValueError(f'Official names do not cover the model: {missing=}, {unexpected=}.')
    return model.eval()
