"""The tower and projector of an LMM: an image as the tokens that its language model reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flmm.registry import MODELS
from flmm.utils.errors import FLMMError

from .eva02 import CLIP_MEAN, CLIP_STD
from .features import normalise_images


@MODELS.register_module()
class LMMImageEncoder(nn.Module):
    """Encode images as an LMM does, up to its visual tokens.

    For LMMs that show an image as one square grid (LLaVA-1.5 and its like). They see what they were
    trained with if the canvas is padded as theirs: ``PrepareCaptions(centred=True)`` for LLaVA.

    Args:
        lmm: Config of an LMM of transformers (:class:`HFLMM`); its language model is dropped.
        mean: Of each channel, of 0..255.
        std: Of each channel.
        frozen: Keep the weights fixed.

    Raises:
        FLMMError: The LMM cannot be asked for visual tokens.
    """

    def __init__(
        self,
        lmm: dict,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        built = MODELS.build(lmm)
        self.backbone = getattr(built.model, built.model.base_model_prefix)
        if not hasattr(self.backbone, 'get_image_features'):
            raise FLMMError(f'{type(self.backbone).__name__} gives no visual tokens of images.')
        decoder = built.decoder()
        for name, child in list(self.backbone.named_children()):
            if decoder in set(child.modules()):
                setattr(self.backbone, name, nn.Identity())
        side = self.backbone.config.vision_config.image_size
        self.image_size = (side, side)
        self.out_channels = built.hidden_size
        self.mean, self.std = tuple(mean), tuple(std)
        self.requires_grad_(not frozen)

    def forward(self, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            images: ``(B, 3, H, W)``, 0..255, not smaller than ``image_size``.
            inside: ``(B, H, W)``, 1 where there is image; None: everywhere.

        Returns:
            ``(B, h, w, C)``.

        Raises:
            FLMMError: The visual tokens are no square grid.
        """
        pixels = normalise_images(images, self.mean, self.std, inside, self.image_size)
        dtype = next(self.backbone.parameters()).dtype
        features = self.backbone.get_image_features(pixel_values=pixels.to(dtype))
        tokens = torch.stack(list(features.pooler_output))
        side = math.isqrt(tokens.shape[1])
        if side * side != tokens.shape[1]:
            raise FLMMError(
                f'{type(self.backbone).__name__} shows an image as {tokens.shape[1]} tokens, which '
                'are no square grid.'
            )
        return tokens.unflatten(1, (side, side))
