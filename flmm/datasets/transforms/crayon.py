"""The crayon prompt of a sample: its panoptic map, as text and on the grid of the LMM."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from flmm.models.prompt_encoders.crayon_map import CrayonObject, crayon_map, resample
from flmm.models.prompt_encoders.crayon_text import (
    WITH_OBJECTS,
    WITHOUT_OBJECTS,
    crayon_prompt_text,
)
from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample, PanopticMap

from .base import Transform


@TRANSFORMS.register_module()
class LoadPanoptic(Transform):
    """Fill ``panoptic`` from a segmenter or from annotations; needs ``LoadImage`` before it.

    Args:
        segmenter: Config of a segmenter (``PanopticFiles``, ``CachedPanoptic``), or anything that
            maps a sample to a ``PanopticMap``.
        grid: ``(h, w)`` to which the map is reduced, so that text and embeddings name the same
            segments (35, 35 in the release); None keeps its size.
    """

    def __init__(
        self,
        segmenter: dict | Callable[[GroundingSample], PanopticMap],
        grid: tuple[int, int] | None = None,
    ) -> None:
        self.segmenter = MODELS.build(segmenter) if isinstance(segmenter, dict) else segmenter
        self.grid = None if grid is None else tuple(grid)

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Segment.

        Args:
            sample: With ``image``; without one it stays as it is.

        Returns:
            The sample with ``panoptic``.
        """
        if sample.image is None:
            return sample
        found = self.segmenter(sample)
        sample.panoptic = found if self.grid is None else resample(found, self.grid)
        return sample


@TRANSFORMS.register_module()
class DescribeSegments(Transform):
    """Put the text of the crayon prompt before the question.

    Args:
        class_names: Names by label.
        with_objects: How the prompt begins, with ``{objects}``.
        without_objects: How it begins where nothing was found.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        with_objects: str = WITH_OBJECTS,
        without_objects: str = WITHOUT_OBJECTS,
    ) -> None:
        self.class_names = tuple(class_names)
        self.wording = with_objects, without_objects

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Change ``prompt``, or the first request; what names the image stays in front.

        Args:
            sample: With ``panoptic`` and ``prompt`` or ``turns``; without an image it stays as
                it is.
        """
        if sample.image is None and sample.panoptic is None:
            return sample
        objects = crayon_map(_panoptic(sample), num_classes=len(self.class_names)).objects
        if sample.turns:
            first, *later = sample.turns
            sample.turns = [replace(first, request=self._described(first.request, objects)), *later]
        else:
            sample.prompt = self._described(sample.prompt, objects)
        return sample

    def _described(self, request: str, objects: tuple[CrayonObject, ...]) -> str:
        image, mark, question = request.rpartition('<image>\n')
        return image + mark + crayon_prompt_text(objects, self.class_names, question, *self.wording)


@TRANSFORMS.register_module()
class NameImage(Transform):
    """Put ``<image>`` in front of the first of ``turns`` that name no image, if there is one."""

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Change the first request.

        Args:
            sample: With ``turns``.
        """
        if sample.image is None or any('<image>' in turn.request for turn in sample.turns):
            return sample
        first, *later = sample.turns
        sample.turns = [replace(first, request=f'<image>\n{first.request}'), *later]
        return sample


@TRANSFORMS.register_module()
class OpenLastTurn(Transform):
    """Take the last answer away: it is the one to be written (evaluation)."""

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Change the last turn.

        Args:
            sample: With ``turns``.
        """
        *before, last = sample.turns
        sample.turns = [*before, replace(last, answer=None)]
        return sample


@TRANSFORMS.register_module()
class AddCrayonMap(Transform):
    """Put the indices of the crayon prompt beside what the LMM reads, cell by cell of its grids.

    Behind ``PrepareLMMInputs``: the grids are those of the LMM at hand, whatever their number and
    shape; cells that see padding show nothing.

    Args:
        num_classes: Classes of the segmenter.
        max_instances: Largest number of an instance.
        overflow: What becomes of instances beyond it, see ``crayon_map``.
        control: ``'shuffled'`` gives each cell the indices of another one of the same image (a
            control: the same embeddings, without the place), ``'empty'`` shows nothing.

    Raises:
        ValueError: ``control`` is none of those named.
    """

    def __init__(
        self,
        num_classes: int = 133,
        max_instances: int = 20,
        overflow: Literal['last', 'none', 'error'] = 'last',
        control: Literal['shuffled', 'empty'] | None = None,
    ) -> None:
        if control not in (None, 'shuffled', 'empty'):
            raise ValueError(f"control must be 'shuffled', 'empty' or None, got {control!r}.")
        self.options: dict[str, Any] = dict(
            num_classes=num_classes, max_instances=max_instances, overflow=overflow
        )
        self.control = control

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Add ``crayon_classes`` and ``crayon_instances``, ``(1, cells)`` int64.

        Args:
            sample: With ``panoptic`` and ``lmm_inputs``.

        Returns:
            The sample; unchanged where it has no image.

        Raises:
            ValueError: ``lmm_inputs`` is missing.
        """
        inputs = sample.lmm_inputs
        if inputs is None:
            raise ValueError(f'{sample.sample_id}: AddCrayonMap comes behind PrepareLMMInputs.')
        if not inputs.grids:
            return sample
        panoptic = _panoptic(sample)
        if self.control == 'empty':
            panoptic = PanopticMap(np.zeros((1, 1), np.int64))
        classes, instances = [], []
        # Numbers are given on the whole map, so that they agree between grids.
        whole = crayon_map(panoptic, **self.options)
        for grid in inputs.grids:
            for target, values in ((classes, whole.classes), (instances, whole.instances)):
                seen = resample(PanopticMap(values), grid.shape, grid.box_xyxy, inputs.image_shape)
                target.append(seen.ids.ravel())
        tensors = {
            'crayon_classes': torch.from_numpy(np.concatenate(classes))[None],
            'crayon_instances': torch.from_numpy(np.concatenate(instances))[None],
        }
        if self.control == 'shuffled':
            # Of the sample, not of the run: every epoch and process sees the same.
            seed = zlib.crc32(sample.sample_id.encode())
            order = torch.from_numpy(
                np.random.default_rng(seed).permutation(tensors['crayon_classes'].shape[1])
            )
            tensors = {name: tensor[:, order] for name, tensor in tensors.items()}
        sample.lmm_inputs = replace(inputs, tensors={**inputs.tensors, **tensors})
        return sample


def _panoptic(sample: GroundingSample) -> PanopticMap:
    if sample.panoptic is None:
        raise ValueError(
            f'Sample {sample.sample_id} has no panoptic map: put LoadPanoptic into the pipeline.'
        )
    return sample.panoptic
