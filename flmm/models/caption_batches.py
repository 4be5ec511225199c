"""Samples of a captioning system as tensors, and its results as predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.structures import CaptionInputs, GroundingPrediction, GroundingSample

#: Ids of one caption -> ``(text, [(start, end, index of the last token) of each word])``.
Decode = Callable[[Sequence[int]], tuple[str, list[tuple[int, int, int]]]]


def stack_captions(inputs: Sequence[CaptionInputs]) -> dict[str, Tensor]:
    """Make a batch.

    Args:
        inputs: Samples with canvases of one size.

    Returns:
        ``images (B, 3, S, S)``, ``inside (B, S, S)``, ``tokens (B, N, T)``, ``prompt_boxes``,
        ``valid (B, N)``, ``detect (B,)``, and where any sample has them ``context``,
        ``gt_points``, ``gt_boxes``, ``gt_masks`` with ``has_mask (B,)``; all filled with padding
        or 0.
    """
    first = inputs[0]
    side = first.pixels.shape[-1]
    inside = first.pixels.new_zeros(len(inputs), side, side, dtype=torch.float32)
    for row, one in enumerate(inputs):
        (left, top), (height, width) = one.origin, one.content_shape
        inside[row, top : top + height, left : left + width] = 1
    batch = {
        'images': torch.stack([one.pixels for one in inputs]).float(),
        'inside': inside,
        'tokens': _stack([one.tokens for one in inputs], first.pad_id),
        'prompt_boxes': _stack([one.prompt_boxes for one in inputs]),
        'valid': _stack([one.tokens.new_ones(len(one.tokens)) for one in inputs]),
        'detect': torch.tensor([one.detect for one in inputs], device=first.tokens.device),
    }
    captions, length = batch['tokens'].shape[1:]
    shapes = {
        'context': (captions, 1),
        'gt_points': (captions, length, 2, 2),
        'gt_boxes': (captions, 4),
        'gt_masks': (captions, side, side),
    }
    for name, shape in shapes.items():
        values = [getattr(one, name) for one in inputs]
        given = [value for value in values if value is not None]
        if not given:
            continue
        fill = first.pad_id if name == 'context' else 0
        blank = given[0].new_full(shape, fill)
        batch[name] = _stack([blank if value is None else value for value in values], fill)
    if 'gt_masks' in batch:
        has_mask = [one.gt_masks is not None for one in inputs]
        batch['has_mask'] = torch.tensor(has_mask, device=first.tokens.device)
    return batch


def _stack(rows: Sequence[Tensor], fill: int = 0) -> Tensor:
    """Stack tensors of one rank, each axis filled up to the longest."""
    sizes = [max(row.shape[axis] for row in rows) for axis in range(rows[0].dim())]
    out = []
    for row in rows:
        # F.pad names the last axis first.
        missing = [size - have for size, have in zip(sizes, row.shape, strict=True)]
        widths = [width for miss in reversed(missing) for width in (0, miss)]
        out.append(F.pad(row, widths, value=fill))
    return torch.stack(out)


def locate_phrases(
    inputs: CaptionInputs, points: Tensor
) -> tuple[list[list[float] | None], list[list[float] | None]]:
    """Points and boxes of a sample's phrases, in original pixels.

    Args:
        inputs: With ``phrase_tokens``.
        points: ``(N, T, K, 2)`` in canvas pixels.

    Returns:
        For each phrase ``[x, y]``, the middle of its points, and ``[x0, y0, x1, y1]`` around
        them, cut to the image; None where it was cut off.
    """
    places: list[list[float] | None] = []
    boxes: list[list[float] | None] = []
    height, width = inputs.content_shape
    start = points.new_tensor(inputs.origin)
    limit = start + points.new_tensor([width, height])
    for row, column in inputs.phrase_tokens.tolist():
        if row < 0:
            places.append(None)
            boxes.append(None)
            continue
        found = torch.minimum(torch.maximum(points[row, column].float(), start), limit)
        found = inputs.to_original(found)
        places.append(found.mean(0).tolist())
        boxes.append([*found.amin(0).tolist(), *found.amax(0).tolist()])
    return places, boxes


def masks_on_image(inputs: CaptionInputs, logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Masks of the canvas as masks of the original image.

    Args:
        inputs: How the image lies on the canvas; nothing of it was cut off.
        logits: ``(N, h, w)`` of any size, covering the canvas.
        shape: ``(H, W)`` of the original image.

    Returns:
        ``(N, H, W)`` bool, where the logits are above 0.
    """
    if not len(logits):
        return torch.zeros(0, *shape, dtype=torch.bool)
    side = inputs.pixels.shape[-1]
    full = F.interpolate(logits[:, None].float(), size=(side, side), mode='bilinear')
    (left, top), (height, width) = inputs.origin, inputs.content_shape
    full = full[..., top : top + height, left : left + width]
    full = F.interpolate(full, size=shape, mode='bilinear')
    return full[:, 0] > 0


def write_captions(
    inputs: CaptionInputs, result: dict[str, Tensor], decode: Decode
) -> list[dict[str, Any]]:
    """What a system wrote, as plain containers.

    Args:
        inputs: Of the sample.
        result: ``tokens``, ``boxes_xyxy``, ``scores`` and perhaps ``points`` of
            ``PixelLLM.predict``.
        decode: See :data:`Decode`.

    Returns:
        One dict per caption: ``text``, ``box_xyxy`` in original pixels, ``score``, and with
        points ``words``: ``[{'text', 'point'}]``.
    """
    boxes = inputs.to_original(result['boxes_xyxy'].float()).tolist()
    captions = []
    for row, (box, score) in enumerate(zip(boxes, result['scores'].tolist(), strict=True)):
        text, words = decode(result['tokens'][row].tolist())
        caption = {'text': text, 'box_xyxy': box, 'score': score}
        if 'points' in result:
            points = inputs.to_original(result['points'][row].float().mean(1)).tolist()
            caption['words'] = [
                {'text': text[start:end], 'point': points[column]} for start, end, column in words
            ]
        captions.append(caption)
    return captions


def predict_captions(
    predict: Callable[..., list[dict[str, Tensor]]],
    decode: Decode,
    inputs: Sequence[CaptionInputs],
    samples: Sequence[GroundingSample],
) -> list[GroundingPrediction]:
    """Do what the samples ask for.

    Args:
        predict: ``PixelLLM.predict``.
        decode: See :func:`write_captions`.
        inputs: What ``PrepareCaptions`` made.
        samples: The samples.

    Returns:
        Predictions. Of captions that are read, ``meta['points']`` and ``meta['boxes_xyxy']`` of
        each phrase in original pixels (None where it was cut off), and its mask. Of captions that
        are written, ``meta['captions']`` as :func:`write_captions` gives them, ``text`` the first.
    """
    predictions = []
    for task, group in groupby(zip(inputs, samples, strict=True), key=lambda pair: pair[0].task):
        members = list(group)
        batch = stack_captions([one for one, _ in members])
        results = predict(
            batch['images'],
            batch['inside'],
            None if task == 'detect' else batch['prompt_boxes'],
            batch.get('context'),
            batch['tokens'] if task == 'read' else None,
        )
        for (one, sample), result in zip(members, results, strict=True):
            if task == 'read':
                predictions.append(_located(one, sample, result))
            else:
                predictions.append(_written(one, sample, result, decode))
    return predictions


def _located(
    inputs: CaptionInputs, sample: GroundingSample, result: dict[str, Tensor]
) -> GroundingPrediction:
    if 'points' not in result:
        return _prediction(sample, None)
    points, boxes = locate_phrases(inputs, result['points'])
    masks = None
    if 'mask_logits' in result:
        masks = masks_on_image(inputs, result['mask_logits'], sample.ori_shape)
        rows = inputs.phrase_tokens[:, 0]
        masks = masks[rows.clamp(min=0)] & (rows >= 0)[:, None, None]
    return _prediction(sample, masks, points=points, boxes_xyxy=boxes)


def _written(
    inputs: CaptionInputs, sample: GroundingSample, result: dict[str, Tensor], decode: Decode
) -> GroundingPrediction:
    if inputs.task == 'write':
        # What a batch was filled up with is nobody's.
        result = {name: value[: len(inputs.tokens)] for name, value in result.items()}
    captions = write_captions(inputs, result, decode)
    prediction = _prediction(sample, None, captions=captions)
    prediction.text = captions[0]['text'] if captions else ''
    return prediction


def _prediction(sample: GroundingSample, masks: Tensor | None, **meta: Any) -> GroundingPrediction:
    """A prediction; without masks those of all phrases are empty."""
    if masks is None:
        masks = torch.zeros(len(sample.phrases), *sample.ori_shape, dtype=torch.bool)
    return GroundingPrediction(sample, masks.cpu(), meta=meta)
