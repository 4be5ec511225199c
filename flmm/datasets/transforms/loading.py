"""Loading pixels: images and ground-truth masks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from flmm.registry import TRANSFORMS
from flmm.structures import CocoMask, GroundingSample, PanopticMask
from flmm.utils.errors import AnnotationError, ImageError
from flmm.utils.masks import decode_segmentation, panoptic_ids
from flmm.utils.safe_io import open_image, to_rgb

from .base import Transform


@TRANSFORMS.register_module()
class LoadImage(Transform):
    """Read ``sample.image_path`` into ``image`` (RGB) and ``ori_shape``.

    An image that is there already is kept, converted to RGB.

    Args:
        exif: Turn photographs as their EXIF orientation says; off for data sets, whose masks
            are drawn on the stored pixels.
        optional: Leave samples without an image (talk without one) as they are.
    """

    def __init__(self, exif: bool = False, optional: bool = False) -> None:
        self.exif, self.optional = exif, optional

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Load the image.

        Args:
            sample: With ``image_path`` or ``image``.

        Returns:
            The sample with ``image`` and ``ori_shape``.

        Raises:
            ImageError: The file cannot be read.
        """
        if sample.image is not None:
            sample.image = to_rgb(sample.image)
        elif sample.image_path is not None:
            sample.image = open_image(sample.image_path, exif=self.exif)
        elif self.optional:
            return sample
        else:
            raise ImageError(sample.sample_id, 'the sample has neither image nor image_path.')
        sample.ori_shape = (sample.image.height, sample.image.width)
        return sample


@TRANSFORMS.register_module()
class BlurImage(Transform):
    """Take fine detail from the image that the LMM reads: shrink it, and enlarge it again.

    For experiments on what else tells of objects: annotations, and maps of segmenters that come
    before it, keep their own resolution.

    Args:
        side: Pixels of the longer side that are left; smaller images stay as they are.
    """

    def __init__(self, side: int) -> None:
        if side < 1:
            raise ValueError(f'side must be positive, got {side}.')
        self.side = side

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Blur the image; its size stays.

        Args:
            sample: With ``image``.
        """
        size, longer = sample.image.size, max(sample.image.size)
        if longer > self.side:
            small = [max(round(length * self.side / longer), 1) for length in size]
            shrunk = sample.image.resize(small, Image.Resampling.BOX)
            sample.image = shrunk.resize(size, Image.Resampling.BILINEAR)
        return sample


@TRANSFORMS.register_module()
class LoadMasks(Transform):
    """Decode the phrases' masks into ``gt_masks (P, H, W)``; needs ``LoadImage`` before it.

    Samples without ground truth (inference) and without an image (talk) are left without masks.
    """

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Decode the masks.

        Args:
            sample: With ``ori_shape`` and ``phrases``.

        Returns:
            The sample with ``gt_masks``.

        Raises:
            AnnotationError: A mask is malformed or of another size than the image.
        """
        if any(phrase.mask is None for phrase in sample.phrases):
            return sample
        if sample.ori_shape is None and not sample.phrases:
            return sample
        if sample.ori_shape is None:
            raise ValueError('LoadMasks needs the size of the image: put LoadImage before it.')
        masks = np.zeros((len(sample.phrases), *sample.ori_shape), dtype=bool)
        ids_of_file: dict[str, np.ndarray] = {}
        for index, phrase in enumerate(sample.phrases):
            if isinstance(phrase.mask, CocoMask):
                masks[index] = self._coco_mask(sample, phrase.mask)
            elif isinstance(phrase.mask, PanopticMask):
                path = phrase.mask.path
                if path not in ids_of_file:
                    ids_of_file[path] = self._segment_ids(path, sample.ori_shape)
                masks[index] = np.isin(ids_of_file[path], phrase.mask.segment_ids)
            else:
                raise TypeError(f'no loader for masks of type {type(phrase.mask).__name__}')
        sample.gt_masks = masks
        return sample

    @staticmethod
    def _segment_ids(path: str, shape: tuple[int, int]) -> np.ndarray:
        try:
            ids = panoptic_ids(open_image(path))
        except ImageError as error:
            # The picture is fine; it is the annotation that cannot be read.
            raise AnnotationError(path, f'the panoptic png {error.problem}') from error
        if ids.shape != shape:
            raise AnnotationError(
                path, f'has {ids.shape[0]}x{ids.shape[1]} pixels, its image {shape[0]}x{shape[1]}.'
            )
        return ids

    @staticmethod
    def _coco_mask(sample: GroundingSample, mask: CocoMask) -> np.ndarray:
        union = np.zeros(sample.ori_shape, dtype=bool)
        for segmentation in mask.segmentations:
            try:
                union |= decode_segmentation(segmentation, sample.ori_shape)
            except ValueError as error:
                raise AnnotationError(
                    sample.image_path or sample.sample_id,
                    f'its mask cannot be drawn: {error}.',
                    key=sample.sample_id,
                ) from error
        return union
