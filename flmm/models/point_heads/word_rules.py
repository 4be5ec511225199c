"""Which words of a caption have a place: their own, or that of the whole caption."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from flmm.utils.point_sets import boxes_around_points

from .token_selection import select_tokens
from .word_targets import word_point_targets


@dataclass(frozen=True)
class WordRules:
    """Rules of :func:`select_tokens` for one text model.

    Shapes: B images, N captions of each, T words, K points of a word.

    Attributes:
        begin_id: Id of a caption's first token.
        end_id: Id of its last one.
        pad_id: Id that fills short captions.
        trace: Words that have a point of their own.
        box: Words that have the caption's box.
    """

    begin_id: int
    end_id: int
    pad_id: int
    trace: str = 'begin,end,pad'
    box: str = '^end-1'

    def boxes(self, points: Tensor, tokens: Tensor, rule: str | None = None) -> Tensor:
        """Boxes of captions around the points of some of their words.

        Args:
            points: ``(B, N, T, K, 2)``.
            tokens: ``(B, N, T)``.
            rule: Which words, by default ``box``.

        Returns:
            ``(B, N, 4)`` xyxy; inside out for a caption without such a word.
        """
        chosen = self._select(tokens, self.box if rule is None else rule)
        chosen = chosen[..., None].expand(points.shape[:-1])
        return boxes_around_points(points.flatten(2, 3), chosen.flatten(2))

    def targets(
        self, tokens: Tensor, gt_points: Tensor | None, gt_boxes: Tensor | None
    ) -> tuple[Tensor, Tensor] | None:
        """What the words' points are compared with, see :func:`word_point_targets`.

        Args:
            tokens: ``(B, N, T)``.
            gt_points: ``(B, N, T, 2, 2)``; None without traces.
            gt_boxes: ``(B, N, 4)``; None without boxes.

        Returns:
            Points ``(B, N, T, 2, 2)`` and the words ``(B, N, T)`` that have one; None without any.
        """
        traced, boxed = self._select(tokens, self.trace), self._select(tokens, self.box)
        return word_point_targets(traced, boxed, gt_points, gt_boxes)

    def _select(self, tokens: Tensor, rule: str) -> Tensor:
        return select_tokens(tokens, rule, self.begin_id, self.end_id, self.pad_id)
