"""What a captioner of places computes: features, visual tokens, words, their points and masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor

from flmm.models.image_encoders import content_origins, content_shapes, fuse_features
from flmm.utils.point_sets import relative_to_pixels


class PlaceCaptioner(BaseModel):
    """The steps from images and places to words and their places; abstract.

    A system builds the parts and puts the steps together to losses and predictions. It sets
    ``image_encoders``, ``prompt_encoder``, ``prompt_extractor``, ``text_decoder``, ``point_head``,
    ``mask_head``, ``mask_encoder``, ``cells_encoder``, ``relative_to`` and ``reads_maps``, which
    :class:`flmm.models.systems.PixelLLM` explains.

    Shapes: B images, N captions of each, T words, Q words of a context, K points of a word, M
    visual tokens, D channels of the image features, C of the text model.
    """

    def encode(self, images: Tensor, inside: Tensor) -> Tensor:
        """Features of images ``(B, 3, H, W)`` of 0..255: ``(B, h, w, D)``."""
        return fuse_features(self._encode_each(images, inside))

    def _encode_each(self, images: Tensor, inside: Tensor) -> list[Tensor]:
        return [encoder(images, inside) for encoder in self.image_encoders]

    def _canvas(self) -> tuple[int, int]:
        # As the release: places count in pixels of the largest encoder's input.
        return max(encoder.image_size for encoder in self.image_encoders)

    def look(self, features: Tensor, boxes_xyxy: Tensor) -> Tensor:
        """Visual tokens of places.

        Args:
            features: ``(B, h, w, D)``.
            boxes_xyxy: ``(B, N, 4)`` in pixels of the encoders' input.

        Returns:
            ``(B, N, M, channels)``.
        """
        images = torch.arange(len(boxes_xyxy), device=boxes_xyxy.device)
        places = torch.cat(
            [images[:, None, None].expand(*boxes_xyxy.shape[:2], 1), boxes_xyxy], dim=-1
        ).flatten(0, 1)
        # Expressions all have the whole image as their place: it is looked at once.
        distinct, owner = places.unique(dim=0, return_inverse=True)
        if len(distinct) < len(places):
            found = self._look(features[distinct[:, 0].long()], distinct[:, None, 1:])[:, 0]
            return found[owner].unflatten(0, boxes_xyxy.shape[:2])
        return self._look(features, boxes_xyxy)

    def _look(self, features: Tensor, boxes_xyxy: Tensor) -> Tensor:
        prompts = self.prompt_encoder(self._canvas(), boxes_xyxy)
        positions, no_mask = self.prompt_encoder.dense(*features.shape[1:3])
        return self.prompt_extractor(features, positions, prompts, no_mask[None, None])[0]

    def _cells(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the text model reads of the whole image, if it does."""
        return {} if self.cells_encoder is None else {'cells': parts[self.cells_encoder]}

    def read(
        self,
        visual: Tensor,
        tokens: Tensor,
        context: Tensor | None = None,
        cells: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Let the text model read captions.

        Args:
            visual: ``(B, N, M, channels)``.
            tokens: ``(B, N, T)``.
            context: ``(B, N, Q)``.
            cells: ``(B, h, w, C)`` of the whole image, for a text model that reads them.

        Returns:
            Logits ``(B, N, T, V)`` and hidden states ``(B, N, T, C)``; of a text model that gives
            them attention maps ``(B, N, T, M, h, w)``.
        """
        context = None if context is None else context.flatten(0, 1)
        whole = {} if cells is None else {'cells': cells}
        outputs = self.text_decoder(tokens.flatten(0, 1), visual.flatten(0, 1), context, **whole)
        return tuple(output.unflatten(0, tokens.shape[:2]) for output in outputs)

    def locate(self, hidden: Tensor, inside: Tensor, *maps: Tensor) -> Tensor:
        """Points of words ``(B, N, T, K, 2)`` in pixels of the padded canvas.

        Args:
            hidden: ``(B, N, T, C)``.
            inside: ``(B, H, W)``, 1 where there is image.
            *maps: Attention maps ``(B, N, T, M, h, w)``, for a head that reads them.
        """
        weight = next(self.point_head.parameters())
        # bfloat16 would round points to half a pixel.
        with torch.autocast(hidden.device.type, enabled=False):
            points, _ = self.point_head(hidden.to(weight), *(maps if self.reads_maps else ()))
        if self.relative_to == 'canvas':
            return relative_to_pixels(points, inside.new_tensor([inside.shape[1:]] * len(inside)))
        origins = content_origins(inside)[:, None, None, None]
        return relative_to_pixels(points, content_shapes(inside)) + origins

    def _segment(
        self, parts: Sequence[Tensor], boxes: Tensor, visual: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        features = parts[self.mask_encoder]
        return self.mask_head(features, boxes, visual, hidden, self.prompt_encoder, self._canvas())
