"""GPT4RoI's region extractor: RoIAlign on several levels of the vision tower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from flmm.registry import MODELS
from flmm.structures import RegionInputs

from .level_fusion import LevelFusion, enlarge_to_pyramid
from .shape_pooling import ShapePooling

#: Boxes that are thinner than this share of the frame have no inside to look at.
MIN_SIDE = 1e-4


@MODELS.register_module()
class MultiLevelRoIQuery(nn.Module):
    """Make one vector per region, for the place of its token in the language model.

    GPT4RoI (arXiv 2307.03601), section 3.2: levels are enlarged to a pyramid and fused, each
    region is cut out of every level by RoIAlign, the cuts are summed and flattened to one vector,
    to which an embedding of the box is added. Names of the parameters are those of the release
    (``spi_module``), so its weights load as they are.

    Shapes: B images, C channels of the vision tower, R regions of an image.

    Args:
        in_channels: C.
        out_channels: Of the language model.
        num_levels: Levels.
        hidden_channels: Of the vector before the last projection.
        box_channels: Of the box embedding's first layer.
        roi_size: Rows and columns that RoIAlign gives.
        sampling_ratio: Samples per side of each of them.
        rounds: Rounds of fusion.
        groups: Of its group norms.
        base_side: Most rows and columns of a level; larger ones are averaged down, so that the
            pyramid, eight times as large, fits into memory. None keeps them.
        shapes: Also take masks, points and scribbles; adds :class:`ShapePooling`, which the
            release does not have.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_levels: int = 4,
        hidden_channels: int = 1024,
        box_channels: int = 256,
        roi_size: int = 14,
        sampling_ratio: int = 2,
        rounds: int = 5,
        groups: int = 64,
        base_side: int | None = None,
        shapes: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.num_levels, self.base_side = num_levels, base_side
        self.mlvl_fuse = LevelFusion(in_channels, num_levels, rounds, groups)
        self.roi_align = RoIEmbedding(
            in_channels,
            out_channels,
            num_levels,
            hidden_channels,
            box_channels,
            roi_size,
            sampling_ratio,
        )
        self.shape_pooling = (
            ShapePooling(in_channels, num_levels, hidden_channels) if shapes else None
        )

    def forward(
        self, levels: Sequence[Tensor], regions: Sequence[RegionInputs | None]
    ) -> list[Tensor]:
        """Extract.

        Args:
            levels: ``(B, C, h, w)`` each, the shallowest first.
            regions: Of each image; None or empty where it has none.

        Returns:
            ``(R, out_channels)`` for each image.

        Raises:
            ValueError: Wrong number of levels or channels, a degenerate box, or a shape without
                ``shapes=True``.
        """
        self._check_levels(levels, regions)
        counts = [0 if one is None else len(one) for one in regions]
        device, dtype = levels[0].device, levels[0].dtype
        if not sum(counts):
            return [torch.zeros(0, self.out_channels, device=device, dtype=dtype) for _ in regions]
        present = [one for one in regions if one is not None and len(one)]
        boxes = torch.cat([one.boxes for one in present]).to(device)
        boxes = check_boxes(boxes)
        images = torch.repeat_interleave(
            torch.arange(len(counts), device=device), torch.tensor(counts, device=device)
        )
        pyramid = self.mlvl_fuse(enlarge_to_pyramid([self._bounded(level) for level in levels]))
        hidden = self.roi_align.pooled(pyramid, boxes, images)
        hidden = self._with_shapes(hidden, pyramid, present, images)
        # Rounded to the weights' precision only here: half of it would move a box by a cell.
        places = self.roi_align.pos_embedd(boxes.to(dtype))
        return list(self.roi_align.updims(hidden + places).split(counts))

    def _bounded(self, level: Tensor) -> Tensor:
        size = tuple(min(side, self.base_side or side) for side in level.shape[-2:])
        return level if size == level.shape[-2:] else F.adaptive_avg_pool2d(level, size)

    def _with_shapes(
        self,
        hidden: Tensor,
        pyramid: Sequence[Tensor],
        regions: Sequence[RegionInputs],
        images: Tensor,
    ) -> Tensor:
        """Replace what was cut out by box with what lies under the mask, where there is one."""
        if all(one.masks is None for one in regions):
            return hidden
        if self.shape_pooling is None:
            raise ValueError(
                'A region is a mask, points or a scribble, but this extractor was built for boxes. '
                'Set shapes=True in its config and train it.'
            )
        side = next(one.masks.shape[-1] for one in regions if one.masks is not None)
        no_mask = torch.zeros(side, side, dtype=torch.bool, device=hidden.device)
        masks, is_mask = [], []
        for one in regions:
            if one.masks is None:
                masks.append(no_mask.expand(len(one), -1, -1))
                is_mask.append(torch.zeros(len(one), dtype=torch.bool, device=hidden.device))
            else:
                masks.append(one.masks.to(hidden.device))
                is_mask.append(one.is_mask.to(hidden.device))
        chosen = torch.cat(is_mask).nonzero()[:, 0]
        if not len(chosen):
            return hidden
        shaped = self.shape_pooling(pyramid, torch.cat(masks)[chosen], images[chosen])
        return hidden.index_copy(0, chosen, shaped.to(hidden.dtype))

    def _check_levels(self, levels: Sequence[Tensor], regions: Sequence) -> None:
        if len(levels) != self.num_levels or levels[0].shape[1] != self.in_channels:
            raise ValueError(
                f'MultiLevelRoIQuery expects {self.num_levels} levels of {self.in_channels} '
                f'channels, got {len(levels)} of {levels[0].shape[1]}. Does the config give the '
                "vision tower's width?"
            )
        if len(regions) != len(levels[0]):
            raise ValueError(f'{len(levels[0])} images, but regions of {len(regions)}.')


def check_boxes(boxes: Tensor) -> Tensor:
    """Clip boxes to the frame and refuse those of which nothing is left.

    Args:
        boxes: ``(R, 4)``, ``xyxy`` in units of the frame.

    Returns:
        The boxes within 0..1.

    Raises:
        ValueError: A box is not finite, or has no inside; it is named.
    """
    clipped = boxes.clamp(0, 1)
    sides = clipped[:, 2:] - clipped[:, :2]
    bad = ~torch.isfinite(boxes).all(1) | ~(sides > MIN_SIDE).all(1)
    if bad.any():
        index = int(bad.nonzero()[0])
        raise ValueError(
            f'Box {index} of {len(boxes)} has no inside within the image: '
            f'{[round(float(v), 5) for v in boxes[index]]} (xyxy, 1 is the whole side). Is it '
            'given as x, y, width, height, or in pixels of another image?'
        )
    return clipped


class RoIEmbedding(nn.Module):
    """Cut boxes out of a pyramid and make vectors of them.

    Args:
        in_channels: C of the pyramid.
        out_channels: Of the vectors.
        num_levels: Levels of the pyramid.
        hidden_channels: Between.
        box_channels: Of the box embedding's first layer.
        roi_size: Rows and columns of a cut.
        sampling_ratio: Samples per side of each of them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_levels: int,
        hidden_channels: int,
        box_channels: int,
        roi_size: int,
        sampling_ratio: int,
    ) -> None:
        super().__init__()
        self.roi_size, self.sampling_ratio = roi_size, sampling_ratio
        self.pconvs = nn.ModuleList(
            nn.Conv2d(in_channels, in_channels, 3, padding=1) for _ in range(num_levels)
        )
        self.pos_embedd = nn.Sequential(
            nn.Linear(4, box_channels),
            nn.ReLU(),
            nn.LayerNorm(box_channels),
            nn.Linear(box_channels, hidden_channels),
            nn.ReLU(),
            nn.LayerNorm(hidden_channels),
        )
        self.updims = nn.Linear(hidden_channels, out_channels)
        self.flatten_linear = nn.Linear(in_channels * roi_size**2, hidden_channels)
        for conv in self.pconvs:
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def pooled(self, pyramid: Sequence[Tensor], boxes: Tensor, images: Tensor) -> Tensor:
        """What lies in each box, all levels together.

        Args:
            pyramid: ``(B, C, h_k, w_k)``.
            boxes: ``(N, 4)`` in 0..1.
            images: ``(N,)`` int64.

        Returns:
            ``(N, hidden_channels)``.
        """
        total = 0.0
        for conv, level in zip(self.pconvs, pyramid, strict=True):
            total = total + conv(cut_out(level, boxes, images, self.roi_size, self.sampling_ratio))
        return self.flatten_linear(F.relu(total).flatten(1))


def cut_out(
    level: Tensor, boxes: Tensor, images: Tensor, roi_size: int = 14, sampling_ratio: int = 2
) -> Tensor:
    """RoIAlign with boxes in units of the frame.

    Args:
        level: ``(B, C, h, w)``.
        boxes: ``(N, 4)`` in 0..1.
        images: ``(N,)`` int64.
        roi_size: Rows and columns.
        sampling_ratio: Samples per side of each.

    Returns:
        ``(N, C, roi_size, roi_size)``.
    """
    height, width = level.shape[-2:]
    # In half precision coordinates would lose whole cells; RoIAlign wants one dtype for both.
    cells = boxes.float() * torch.tensor([width, height] * 2, device=boxes.device)
    rois = torch.cat([images[:, None].float(), cells], dim=1)
    wide = level if level.dtype == torch.float64 else level.float()
    cut = roi_align(
        wide, rois.to(wide.dtype), roi_size, sampling_ratio=sampling_ratio, aligned=True
    )
    return cut.to(level.dtype)
