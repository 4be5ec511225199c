"""Panoptic maps from annotations: COCO's panoptic json and png."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flmm.registry import MODELS
from flmm.structures import GroundingSample, PanopticMap, Segment
from flmm.utils.errors import AnnotationError
from flmm.utils.masks import panoptic_ids
from flmm.utils.safe_io import load_json, open_image, resolve_under_root


@MODELS.register_module()
class PanopticFiles:
    """Give each image the panoptic map that people drew.

    Labels count the categories of the file in its order, or in the order of ``category_ids``.

    Args:
        panoptic_json: COCO panoptic annotation file.
        panoptic_root: Folder of its png files.
        category_ids: Ids of the classes by label; None: those of the file in its order.
        shift: Give each image the map of the one that comes so many places later in the file: a
            control whose maps are as good as ever, but of other images.

    Raises:
        AnnotationError: The file is no COCO panoptic annotation.
    """

    def __init__(
        self,
        panoptic_json: str,
        panoptic_root: str | dict[str, Any],
        category_ids: Sequence[int] | None = None,
        shift: int = 0,
    ) -> None:
        self.panoptic_json, self.panoptic_root = panoptic_json, panoptic_root
        content = load_json(panoptic_json)
        try:
            categories = {one['id']: str(one['name']) for one in content['categories']}
            files = {one['id']: one['file_name'] for one in content['images']}
            self._segments = {
                Path(files[one['image_id']]).name: (
                    one['file_name'],
                    [(segment['id'], segment['category_id']) for segment in one['segments_info']],
                )
                for one in content['annotations']
            }
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                panoptic_json,
                f'is not a COCO panoptic annotation: {type(error).__name__} {error}.',
                fix='It needs images, annotations with segments_info, and categories.',
            ) from error
        names = list(self._segments)
        self._shown = {
            name: names[(index + shift) % len(names)] for index, name in enumerate(names)
        }
        ids = list(category_ids or categories)
        self._label_of = {category: label for label, category in enumerate(ids)}
        self.class_names = tuple(categories.get(category, str(category)) for category in ids)

    def __call__(self, sample: GroundingSample) -> PanopticMap:
        """Map of the sample's image, at the size of the annotation.

        Args:
            sample: With ``image_path``; images are known by their file name, and COCO's of 2014
                (``COCO_val2014_000000000139.jpg``) by what they have been called since.

        Raises:
            AnnotationError: There is no annotation of this image, or a category is unknown.
        """
        name = Path(sample.image_path or '').name
        if name.startswith('COCO_'):
            name = name.rpartition('_')[2]
        if name not in self._segments:
            raise AnnotationError(
                self.panoptic_json,
                f'has no annotation of the image {name!r} of sample {sample.sample_id}.',
            )
        file, segments = self._segments[self._shown[name]]
        ids = panoptic_ids(open_image(resolve_under_root(self.panoptic_root, file)))
        try:
            known = tuple(Segment(one, self._label_of[category]) for one, category in segments)
        except KeyError as error:
            raise AnnotationError(
                self.panoptic_json,
                f'names the category {error}, which is none of the classes.',
                key=f'annotation of {name}',
            ) from error
        return PanopticMap(ids, known)
