"""What the points of words are compared with: traces, or the box of the whole caption."""

from __future__ import annotations

import torch
from torch import Tensor

from flmm.utils.point_sets import points_in_boxes


def word_point_targets(
    trace_words: Tensor, box_words: Tensor, gt_points: Tensor | None, gt_boxes: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """Choose the targets of each image: its traces if it has any, else its captions' boxes.

    Shapes: B images, N captions, T words.

    Args:
        trace_words: ``(B, N, T)`` bool, words that have a trace of their own.
        box_words: ``(B, N, T)`` bool, words that have the caption's box.
        gt_points: ``(B, N, T, 2, 2)`` in pixels, 0 where a word has no trace; None without.
        gt_boxes: ``(B, N, 4)``; None without.

    Returns:
        Points ``(B, N, T, 2, 2)`` and the words ``(B, N, T)`` that have one; None without any.
    """
    boxes = None
    if gt_boxes is not None:
        corners = points_in_boxes(gt_boxes, gt_boxes.new_tensor([[0, 0], [1, 1]]))
        boxes = corners[:, :, None].expand(*box_words.shape, -1, -1)
    if gt_points is None:
        return None if boxes is None else (boxes, box_words)
    if boxes is None:
        return gt_points, trace_words
    traced = gt_points.flatten(1).amax(1) > 0
    points = torch.where(traced[:, None, None, None, None], gt_points, boxes)
    return points, torch.where(traced[:, None, None], trace_words, box_words)
