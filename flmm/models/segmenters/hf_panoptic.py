"""Panoptic maps from a segmenter of transformers: Mask2Former (as CoLLaVO), OneFormer, EoMT."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from flmm.models.prompt_encoders.crayon_map import resample
from flmm.registry import MODELS
from flmm.structures import GroundingSample, PanopticMap, Segment


@MODELS.register_module()
class HFPanoptic:
    """Segment images with a frozen model; wrap it into ``CachedPanoptic`` to do so once.

    The model is loaded at the first image, so that a config with it costs nothing to build.

    Args:
        pretrained: Hub id or folder of a Mask2Former (official:
            ``facebook/mask2former-swin-large-coco-panoptic``), a OneFormer
            (``shi-labs/oneformer_coco_swin_large``) or an EoMT for panoptic segmentation
            (``tue-mps/coco_panoptic_eomt_large_640``).
        size: ``(h, w)`` of the map; the official one is the vision grid, 35 x 35.
        threshold: Least confidence of a segment.
        mask_threshold: Least probability of a cell.
        overlap_threshold: Least share of a segment's area that others leave to it.
        device: Where the model runs.
    """

    def __init__(
        self,
        pretrained: str,
        size: tuple[int, int] = (35, 35),
        threshold: float = 0.5,
        mask_threshold: float = 0.95,
        overlap_threshold: float = 0.8,
        device: str = 'cpu',
    ) -> None:
        self.pretrained, self.size, self.device = pretrained, tuple(size), device
        self.thresholds = dict(
            threshold=threshold,
            mask_threshold=mask_threshold,
            overlap_mask_area_threshold=overlap_threshold,
        )
        self._parts: tuple[Any, Any] | None = None

    @property
    def identity(self) -> str:
        """What its maps depend on besides the image."""
        return f'{self.pretrained} {self.size} {sorted(self.thresholds.items())}'

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            from transformers import AutoModelForUniversalSegmentation, AutoProcessor

            processor = AutoProcessor.from_pretrained(self.pretrained)
            model = AutoModelForUniversalSegmentation.from_pretrained(self.pretrained)
            self._parts = processor, model.to(self.device).eval()
        return self._parts

    @torch.no_grad()
    def __call__(self, sample: GroundingSample) -> PanopticMap:
        """Map of the sample's image, ``size`` cells; segments are never fused.

        Args:
            sample: With ``image``.
        """
        processor, model = self._load()
        family, image = model.config.model_type, sample.image
        asked = {'task_inputs': ['panoptic']} if family == 'oneformer' else {}
        inputs = processor(images=image, return_tensors='pt', **asked).to(self.device)
        if family.startswith('eomt'):
            inputs.pop('patch_offsets', None)
            outputs, whole = model(**inputs), (image.height, image.width)
            # It takes the padding off by the size of the image, so the map comes at that size;
            # its ids count from 0, which means nothing known here.
            found = self._found(processor, outputs, target_sizes=[whole])
            return resample(_panoptic(found, first=1), self.size)
        outputs = model(**inputs)
        found = self._found(processor, outputs, target_sizes=[self.size], label_ids_to_fuse=set())
        return _panoptic(found)

    def _found(self, processor: Any, outputs: Any, **options: Any) -> dict[str, Any]:
        # OneFormer's processor hands this on to the one of images.
        owner = getattr(processor, 'image_processor', processor)
        process = owner.post_process_panoptic_segmentation
        return process(outputs, **options, **self.thresholds)[0]


def _panoptic(found: dict[str, Any], first: int = 0) -> PanopticMap:
    """What transformers found, its ids counted on by ``first``."""
    segments = tuple(
        Segment(int(one['id']) + first, int(one['label_id']), float(one.get('score', 1.0)))
        for one in found['segments_info']
    )
    ids = np.asarray(found['segmentation'].cpu()).astype(np.int64) + first
    return PanopticMap(ids, segments)
