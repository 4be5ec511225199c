"""The vision tower of a CLIP, or of a LLaVA that has learned with it, as an image encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from flmm.registry import MODELS

from .eva02 import CLIP_MEAN, CLIP_STD
from .features import normalise_images


@MODELS.register_module()
class CLIPTowerEncoder(nn.Module):
    """Encode images with transformers' ``CLIPVisionModel``.

    Args:
        pretrained: Folder or hub name of a CLIP or of a LLaVA, whose tower is taken; None with
            ``config``.
        config: Sizes of one without weights, as ``CLIPVisionConfig`` takes them.
        layer: Which layer's output is taken, counted as ``hidden_states`` (LLaVA: -2).
        mean: Of each channel, of 0..255.
        std: Of each channel.
        frozen: Keep the weights fixed.

    Raises:
        ValueError: Both or neither of ``pretrained`` and ``config``.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        config: Mapping | None = None,
        layer: int = -2,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ValueError('CLIPTowerEncoder takes either pretrained or config.')
        # transformers takes seconds to import.
        from transformers import CLIPVisionConfig, CLIPVisionModel

        if pretrained is None:
            self.vit = CLIPVisionModel(CLIPVisionConfig(**config))
        else:
            self.vit = _tower(pretrained)
        sizes = self.vit.config
        self.image_size = (sizes.image_size, sizes.image_size)
        self.out_channels, self.layer = sizes.hidden_size, layer
        self.mean, self.std = tuple(mean), tuple(std)
        self.requires_grad_(not frozen)

    def forward(self, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            images: ``(B, 3, H, W)``, 0..255, not smaller than ``image_size``.
            inside: ``(B, H, W)``, 1 where there is image; None: everywhere.

        Returns:
            ``(B, h, w, C)``, without the class token.
        """
        pixels = normalise_images(images, self.mean, self.std, inside, self.image_size)
        states = self.vit(pixels, output_hidden_states=True).hidden_states[self.layer]
        side = self.image_size[0] // self.vit.config.patch_size
        return states[:, 1:].unflatten(1, (side, side))


def _tower(pretrained: str) -> nn.Module:
    from transformers import AutoConfig, CLIPVisionModel, LlavaForConditionalGeneration

    if AutoConfig.from_pretrained(pretrained).model_type == 'llava':
        return LlavaForConditionalGeneration.from_pretrained(pretrained).model.vision_tower
    return CLIPVisionModel.from_pretrained(pretrained)
