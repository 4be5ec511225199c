"""Word locations for any LMM: PixelLLM's point head on a language model's words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor

from flmm.models.data_preprocessor import StructuresToDevice
from flmm.models.point_heads import attention_places
from flmm.registry import MODELS
from flmm.structures import (
    GroundingPrediction,
    GroundingSample,
    LMMInputs,
    PhraseFeatures,
    SkippedSample,
)


@MODELS.register_module()
class WordLocation(BaseModel):
    """LMM -> hidden state of each word -> point head.

    Every phrase of a sample is a word, as ``LocalizedNarrativesDataset`` gives them, or an
    expression as ``RefCOCODataset`` does. A word of several tokens is located by its last one, the
    first to have read all of it, and an expression by its last word.

    Shapes: P words of a sample, K points of a word, L layers of the LMM, C channels.

    Args:
        lmm: Config of the LMM; it stays in eval mode.
        point_head: Config of a :class:`MLPPointHead` of C channels for every layer it reads (and 4
            for every attention map, if it reads them), or of an :class:`AttentionPointHead`, which
            reads the attention maps themselves. With one point a word's target is its
            trace's mean, ``phrase.meta['point']``; with two the corners of its trace's box,
            ``phrase.meta['box']`` (relative to the image), or of its object,
            ``phrase.meta['box_xyxy']`` (pixels).
        layers: Layers whose hidden states the head reads, one behind the other; negative ones
            count from the last, which alone is the default. A frozen LMM's last layer knows the
            next word best; where this word's object lies may be known further below.
        attention: The head also reads where every attention map of the word looks: 4 further
            channels for each of the LMM's maps, :func:`attention_places`.
        train_lmm: Also train what the LMM's config leaves trainable: all of it, or the adapters
            of ``lmm=dict(lora, lmm=lmm)``.
        data_preprocessor: Config of what moves batches to the device.
    """

    def __init__(
        self,
        lmm: dict,
        point_head: dict,
        layers: Sequence[int] = (-1,),
        attention: bool = False,
        train_lmm: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type=StructuresToDevice))
        self.lmm = MODELS.build(lmm)
        self.layers, self.attention, self.train_lmm = tuple(layers), attention, train_lmm
        if not train_lmm:
            self.lmm.requires_grad_(False)
        self.point_head = MODELS.build(point_head)
        if self.point_head.num_points not in (1, 2):
            raise ValueError(
                'WordLocation expects a point head of one point (a place) or two (the corners of '
                f'a box), got {self.point_head.num_points}.'
            )
        self.train(self.training)

    def train(self, mode: bool = True) -> WordLocation:
        """Switch the mode of the head; the LMM stays in eval mode."""
        super().train(mode)
        self.lmm.eval()
        return self

    def forward(
        self,
        inputs: Sequence[LMMInputs],
        samples: Sequence[GroundingSample],
        skipped: Sequence[SkippedSample] = (),
        mode: str = 'loss',
    ) -> dict[str, Tensor] | list[GroundingPrediction]:
        """Run in mmengine's modes.

        Args:
            inputs: What the LMM reads, one for each sample.
            samples: The samples; targets are needed for the loss only.
            skipped: Samples that could not be used; ignored here, counted by hook and metrics.
            mode: ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: Another mode.
        """
        if mode == 'loss':
            return self.loss(inputs, samples)
        if mode == 'predict':
            return self.predict(inputs, samples)
        raise ValueError(f"WordLocation has the modes 'loss' and 'predict', got {mode!r}.")

    def loss(
        self, inputs: Sequence[LMMInputs], samples: Sequence[GroundingSample]
    ) -> dict[str, Tensor]:
        """Mean distance over all words of the batch that have a trace.

        Returns:
            ``loss_point``: mean absolute difference, as a share of the image. Zero when no word
            is left.

        Raises:
            ValueError: A word has no target.
        """
        located = self.locate(inputs)
        targets = [
            self._target(sample, index)
            for sample, (_, kept) in zip(samples, located, strict=True)
            for index in kept
        ]
        if not targets:
            # Every rank must take part in the backward, so the zero hangs on all that trains.
            trained = [p for p in self.parameters() if p.requires_grad]
            return {'loss_point': sum(p.float().sum() for p in trained) * 0.0}
        points = torch.cat([points for points, _ in located])
        return {'loss_point': (points - points.new_tensor(targets)).abs().mean()}

    def locate(self, inputs: Sequence[LMMInputs]) -> list[tuple[Tensor, tuple[int, ...]]]:
        """Points of the words of each sample.

        Args:
            inputs: What the LMM reads.

        Returns:
            Per sample ``(P', K, 2)`` float32 relative to the image, and the indices of those P'
            words that have a token.
        """
        usable = [i for i, one in enumerate(inputs) if one.phrase_indices]
        weight = next(self.point_head.parameters())
        empty = weight.new_zeros(0, self.point_head.num_points, 2)
        results: list[tuple[Tensor, tuple[int, ...]]] = [(empty, ())] * len(inputs)
        if not usable:
            return results
        with torch.set_grad_enabled(self.train_lmm and torch.is_grad_enabled()):
            features = self.lmm.phrase_features([inputs[i] for i in usable])
        for i, feature in zip(usable, features, strict=True):
            shape = inputs[i].image_shape
            states = self.read(feature, shape).to(weight)
            reads_maps = getattr(self.point_head, 'reads_maps', False)
            maps = (feature.attention,) if reads_maps else ()
            # bfloat16 would round points to a pixel.
            with torch.autocast(weight.device.type, enabled=False):
                points = self.point_head(states, *maps)[0].float()
            if reads_maps:
                points = _on_image(points, feature.grid.box_xyxy, shape)
            results[i] = (points, feature.phrase_indices)
        return results

    def read(self, feature: PhraseFeatures, image_shape: tuple[int, int]) -> Tensor:
        """What the head reads of each word.

        Args:
            feature: Of one sample.
            image_shape: ``(H, W)`` of its image.

        Returns:
            ``(P, channels)``: hidden states of the word's last token, then attention.
        """
        layers = list(self.layers)
        states = torch.stack([word[-1, layers].flatten() for word in feature.hidden]).float()
        if not self.attention:
            return states
        places = attention_places(feature.attention, feature.grid, image_shape)
        return torch.cat([states, places.to(states)], dim=-1)

    @torch.no_grad()
    def predict(
        self, inputs: Sequence[LMMInputs], samples: Sequence[GroundingSample]
    ) -> list[GroundingPrediction]:
        """Locate every word.

        Returns:
            Predictions without masks. ``meta['points']`` has for each word ``[x, y]`` in pixels
            of the original image (of two points their middle), or None where all its tokens were
            cut off; with two points ``meta['boxes_xyxy']`` likewise.
        """
        predictions = []
        for sample, (points, kept) in zip(samples, self.locate(inputs), strict=True):
            height, width = sample.ori_shape
            pixels = (points * points.new_tensor([width, height])).cpu()
            places: list = [None] * len(sample.phrases)
            boxes: list = [None] * len(sample.phrases)
            for row, index in enumerate(kept):
                places[index] = pixels[row].mean(0).tolist()
                corners = [*pixels[row].amin(0).tolist(), *pixels[row].amax(0).tolist()]
                boxes[index] = corners
            meta = {'points': places}
            if self.point_head.num_points == 2:
                meta['boxes_xyxy'] = boxes
            masks = torch.zeros((len(sample.phrases), height, width), dtype=torch.bool)
            predictions.append(GroundingPrediction(sample, masks, meta=meta))
        return predictions

    def _target(self, sample: GroundingSample, index: int) -> list[list[float]]:
        key = 'point' if self.point_head.num_points == 1 else 'box'
        meta = sample.phrases[index].meta
        if key == 'box' and key not in meta and 'box_xyxy' in meta:
            x0, y0, x1, y1 = meta['box_xyxy']
            height, width = sample.ori_shape
            return [[x0 / width, y0 / height], [x1 / width, y1 / height]]
        if key not in meta:
            raise ValueError(
                f'Sample {sample.sample_id} has no {key} of {sample.phrases[index].text!r}: '
                f"expected phrase.meta['{key}'], as LocalizedNarrativesDataset gives it."
            )
        values = meta[key]
        return [values] if key == 'point' else [values[:2], values[2:]]


def _on_image(
    points: Tensor, box_xyxy: tuple[float, float, float, float], image_shape: tuple[int, int]
) -> Tensor:
    """Points ``(..., 2)`` relative to a grid as points relative to the image it lies on."""
    x0, y0, x1, y1 = box_xyxy
    size = points.new_tensor([image_shape[1], image_shape[0]])
    return (points * points.new_tensor([x1 - x0, y1 - y0]) + points.new_tensor([x0, y0])) / size
