"""Regions of a conversation: masks decoded, boxes found, clipped, and checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flmm.registry import TRANSFORMS
from flmm.structures import CocoMask, GroundingSample, PanopticMask, Phrase, Region
from flmm.utils.boxes import Box, clip_xyxy
from flmm.utils.errors import AnnotationError

from .base import Transform
from .loading import LoadMasks


@TRANSFORMS.register_module()
class LoadRegions(Transform):
    """Give every region a box within the image; needs ``LoadImage`` before it.

    Annotated masks become ``(H, W)`` bool arrays. A region without a box gets the one around its
    mask or its points; boxes that reach over the border are clipped.

    Args:
        min_side: Least width and height of a clipped box, in pixels; below it a region is
            degenerate and its sample is refused, by name. A point has no extent: the box around
            points is widened to this.
    """

    def __init__(self, min_side: float = 1.0) -> None:
        self.min_side = min_side

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Complete ``regions``.

        Args:
            sample: With ``ori_shape``.

        Returns:
            The sample.

        Raises:
            AnnotationError: A region is empty, degenerate, or outside the image.
        """
        if sample.regions and sample.ori_shape is None:
            raise ValueError('LoadRegions needs the size of the image: put LoadImage before it.')
        sample.regions = [
            self._complete(sample, index, region) for index, region in enumerate(sample.regions)
        ]
        return sample

    def _complete(self, sample: GroundingSample, index: int, region: Region) -> Region:
        mask = region.mask
        if isinstance(mask, (CocoMask, PanopticMask)):
            probe = GroundingSample(
                sample.sample_id,
                image_path=sample.image_path,
                ori_shape=sample.ori_shape,
                phrases=[Phrase('region', mask)],
            )
            mask = LoadMasks().transform(probe).gt_masks[0]
        if mask is not None and np.shape(mask) != tuple(sample.ori_shape):
            raise AnnotationError(
                sample.sample_id,
                f'region {index + 1} of {len(sample.regions)} is a mask of {np.shape(mask)} pixels '
                f'(height, width), its image has {tuple(sample.ori_shape)}.',
                key=f'regions[{index}]',
                fix='Draw it on the image as it is.',
            )
        box = region.box_xyxy
        if box is None:
            box = self._box_of(mask, region)
        elif region.relative:
            height, width = sample.ori_shape
            box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        box = None if box is None else clip_xyxy(tuple(map(float, box)), *sample.ori_shape)
        # Side by side: min() may pass over nan.
        if box is None or not all(box[i + 2] - box[i] >= self.min_side for i in (0, 1)):
            raise AnnotationError(
                sample.sample_id,
                f'region {index + 1} of {len(sample.regions)} has no inside within the image of '
                f'{sample.ori_shape[0]}x{sample.ori_shape[1]} pixels: box {region.box_xyxy}.',
                key=f'regions[{index}]',
                fix=f'A region is at least {self.min_side:g} pixel wide and high.',
            )
        return replace(region, box_xyxy=box, relative=False, mask=mask)

    def _box_of(self, mask: np.ndarray | None, region: Region) -> Box | None:
        if mask is not None and np.asarray(mask).any():
            rows, columns = np.nonzero(np.asarray(mask))
            return columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0
        if not region.points:
            return None
        x, y = np.array(region.points, dtype=np.float64).T
        reach = max(self.min_side, 1.0)
        return x.min() - reach, y.min() - reach, x.max() + reach, y.max() + reach
