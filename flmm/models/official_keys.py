"""Names of weights: those of the official releases, and flmm's.

Pure functions on strings; loading and checking happen in ``flmm.engine.checkpoint``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# (pattern, replacement), the first that matches wins; segment_anything -> transformers' SamModel.
_SAM_RULES = [
    (r'image_encoder\.patch_embed\.proj\.(.*)', r'vision_encoder.patch_embed.projection.\1'),
    (r'image_encoder\.pos_embed', r'vision_encoder.pos_embed'),
    (r'image_encoder\.blocks\.(\d+)\.norm(\d)\.(.*)', r'vision_encoder.layers.\1.layer_norm\2.\3'),
    (r'image_encoder\.blocks\.(.*)', r'vision_encoder.layers.\1'),
    (r'image_encoder\.neck\.0\.(.*)', r'vision_encoder.neck.conv1.\1'),
    (r'image_encoder\.neck\.1\.(.*)', r'vision_encoder.neck.layer_norm1.\1'),
    (r'image_encoder\.neck\.2\.(.*)', r'vision_encoder.neck.conv2.\1'),
    (r'image_encoder\.neck\.3\.(.*)', r'vision_encoder.neck.layer_norm2.\1'),
    (r'prompt_encoder\.point_embeddings\.(.*)', r'prompt_encoder.point_embed.\1'),
    (r'prompt_encoder\.mask_downscaling\.0\.(.*)', r'prompt_encoder.mask_embed.conv1.\1'),
    (r'prompt_encoder\.mask_downscaling\.1\.(.*)', r'prompt_encoder.mask_embed.layer_norm1.\1'),
    (r'prompt_encoder\.mask_downscaling\.3\.(.*)', r'prompt_encoder.mask_embed.conv2.\1'),
    (r'prompt_encoder\.mask_downscaling\.4\.(.*)', r'prompt_encoder.mask_embed.layer_norm2.\1'),
    (r'prompt_encoder\.mask_downscaling\.6\.(.*)', r'prompt_encoder.mask_embed.conv3.\1'),
    (r'(mask_decoder\.transformer\.layers\.\d+)\.norm(\d)\.(.*)', r'\1.layer_norm\2.\3'),
    (
        r'mask_decoder\.transformer\.norm_final_attn\.(.*)',
        r'mask_decoder.transformer.layer_norm_final_attn.\1',
    ),
    (r'mask_decoder\.output_upscaling\.0\.(.*)', r'mask_decoder.upscale_conv1.\1'),
    (r'mask_decoder\.output_upscaling\.1\.(.*)', r'mask_decoder.upscale_layer_norm.\1'),
    (r'mask_decoder\.output_upscaling\.3\.(.*)', r'mask_decoder.upscale_conv2.\1'),
    (r'(mask_decoder\..*(?:_mlps\.\d+|_head))\.layers\.0\.(.*)', r'\1.proj_in.\2'),
    (r'(mask_decoder\..*(?:_mlps\.\d+|_head))\.layers\.1\.(.*)', r'\1.layers.0.\2'),
    (r'(mask_decoder\..*(?:_mlps\.\d+|_head))\.layers\.2\.(.*)', r'\1.proj_out.\2'),
]

_GAUSSIAN = 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'


def sam_keys(official: str) -> tuple[str, ...]:
    """Names in transformers' ``SamModel`` of a weight of ``segment_anything``.

    Args:
        official: For example ``mask_decoder.iou_token.weight``.

    Returns:
        One name, or two for the matrix of positional encodings, which transformers keeps twice.
    """
    if official == _GAUSSIAN:
        return (
            'shared_image_embedding.positional_embedding',
            'prompt_encoder.shared_embedding.positional_embedding',
        )
    for pattern, replacement in _SAM_RULES:
        renamed, hits = re.subn(f'^{pattern}$', replacement, official)
        if hits:
            return (renamed,)
    return (official,)


def f_lmm_keys(official: str) -> tuple[str, ...]:
    """Names in :class:`flmm.models.systems.FLMM` of a weight of F-LMM's release.

    Args:
        official: Name in the release's state dict; the frozen LMM's own weights are not in its
            checkpoints and not handled here.
    """
    if official.startswith('sam.model.'):
        names = sam_keys(official.removeprefix('sam.model.'))
        return tuple(f'mask_refiner.sam.{name}' for name in names)
    for prefix in ('encoder.', 'decoder.'):
        if official.startswith(f'mask_head.{prefix}'):
            return (f'mask_head.unet.{official.removeprefix("mask_head.")}',)
    return (official,)


def is_official_f_lmm(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of F-LMM's release rather than flmm's."""
    return any(name.startswith(('sam.model.', 'mask_head.encoder.')) for name in state_dict)


def from_official_f_lmm(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a checkpoint of F-LMM's release to flmm's names."""
    return {new: tensor for old, tensor in state_dict.items() for new in f_lmm_keys(old)}
