"""Masks of located captions, by SAM's mask decoder."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from flmm.models.prompt_encoders.location_prompt import LocationPromptEncoder
from flmm.registry import MODELS


@MODELS.register_module()
class PromptedMaskHead(nn.Module):
    """Segment what a box and the words about it mean.

    PixelLLM's release, section "segmentation": SAM's frozen mask decoder gets the two tokens of a
    box, to which an adapter adds what the language model knows.

    Shapes: B images, N captions, E channels of SAM's prompts, h w cells, M visual tokens, T words.

    Args:
        adapter: Config of a :class:`MaskPromptAdapter` of E channels; None: the box alone.
        decoder: Sizes as ``SamMaskDecoderConfig`` takes them; the default is SAM's own.
        frozen: Keep the decoder's weights fixed.
    """

    def __init__(
        self, adapter: Mapping | None = None, decoder: Mapping | None = None, frozen: bool = True
    ) -> None:
        super().__init__()
        # transformers takes seconds to import.
        from transformers import SamMaskDecoderConfig
        from transformers.models.sam.modeling_sam import SamMaskDecoder

        self.adapter = MODELS.build(adapter) if adapter else None
        self.decoder = SamMaskDecoder(SamMaskDecoderConfig(**(decoder or {})))
        self.decoder.requires_grad_(not frozen)

    def forward(
        self,
        features: Tensor,
        boxes_xyxy: Tensor,
        visual: Tensor,
        text: Tensor,
        prompt_encoder: LocationPromptEncoder,
        image_shape: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Segment.

        Args:
            features: ``(B, h, w, E)`` of SAM's image encoder.
            boxes_xyxy: ``(B, N, 4)`` in pixels of the encoder's input.
            visual: ``(B, N, M, ...)``, the place's visual tokens.
            text: ``(B, N, T, ...)``, hidden states of the words.
            prompt_encoder: SAM's.
            image_shape: ``(H, W)`` of the encoder's input.

        Returns:
            Logits ``(B, N, 1, 4h, 4w)`` and the guessed IoUs ``(B, N, 1)``.
        """
        prompts = prompt_encoder.encode_boxes(boxes_xyxy, image_shape)
        if self.adapter is not None:
            prompts = self.adapter(prompts, visual, text)
        positions, no_mask = prompt_encoder.dense(*features.shape[1:3])
        return self.decoder(
            image_embeddings=features.permute(0, 3, 1, 2),
            image_positional_embeddings=positions.permute(2, 0, 1)[None].expand(
                len(features), -1, -1, -1
            ),
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=no_mask.permute(0, 2, 1)[..., None],
            multimask_output=False,
        )
