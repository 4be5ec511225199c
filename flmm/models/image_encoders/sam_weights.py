"""The parts of one SAM in a system: image encoder, prompt encoder, mask decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .sam_encoder import SAMImageEncoder, load_sam_encoder

if TYPE_CHECKING:
    from flmm.models.prompt_encoders import LocationPromptEncoder

_KINDS = 4  # of points: outside, inside, two corners of a box


@torch.no_grad()
def load_sam(
    pretrained: str,
    encoder: SAMImageEncoder | nn.Module | None = None,
    prompt_encoder: LocationPromptEncoder | None = None,
    mask_decoder: nn.Module | None = None,
) -> None:
    """Load the weights of a SAM into those parts that are given.

    Args:
        pretrained: Hub id or folder in transformers' layout, or an original file
            (``sam_vit_h_4b8939.pth``).
        encoder: An image encoder; one that is no :class:`SAMImageEncoder` is left alone.
        prompt_encoder: A prompt encoder of SAM's width.
        mask_decoder: transformers' ``SamMaskDecoder``.

    Raises:
        CheckpointError: The weights are incomplete or of another family.
        RuntimeError: The sizes differ.
    """
    from flmm.models.mask_refiners.original_files import FAMILIES
    from flmm.models.mask_refiners.original_files import load_sam as read_sam

    sam = read_sam(FAMILIES['sam'], pretrained)
    if isinstance(encoder, SAMImageEncoder):
        load_sam_encoder(encoder, sam.vision_encoder.state_dict())
    if mask_decoder is not None:
        mask_decoder.load_state_dict(sam.mask_decoder.state_dict())
    if prompt_encoder is not None:
        own = sam.prompt_encoder
        weights = {
            'pe_layer.positional_encoding_gaussian_matrix': (
                sam.shared_image_embedding.positional_embedding
            ),
            'not_a_point_embed.weight': own.not_a_point_embed.weight,
            'no_mask_embed.weight': own.no_mask_embed.weight,
            **{
                f'point_embeddings.{kind}.weight': own.point_embed[kind].weight
                for kind in range(_KINDS)
            },
        }
        prompt_encoder.load_state_dict(weights)
