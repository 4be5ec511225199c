"""COCO detection: the category of each box, one box per turn (GPT4RoI, stage 1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from flmm.registry import DATASETS
from flmm.structures import Turn
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .instruction import Chooser
from .region_conversations import RegionDataset, RegionTalk, plain, usable_regions, with_overview
from .region_shapes import RegionShapes
from .transforms.base import Transform

#: What of an annotation makes a region.
REGION_KEYS = ('id', 'bbox', 'iscrowd', 'ignore')


def group_by_image(path: str, content: Any) -> list[dict[str, Any]]:
    """Images of a COCO file with their annotations.

    Args:
        path: Of the file, for errors.
        content: ``{images, annotations, ...}``.

    Returns:
        One dict per image: its fields, and ``annotations``.

    Raises:
        AnnotationError: The content is not of this format, or an annotation names no image.
    """
    try:
        images = {image['id']: {**image, 'annotations': []} for image in content['images']}
        for index, annotation in enumerate(content['annotations']):
            if annotation['image_id'] not in images:
                raise AnnotationError(
                    path,
                    f'image_id {annotation["image_id"]!r} is none of its images.',
                    key=f'annotations[{index}]',
                )
            images[annotation['image_id']]['annotations'].append(annotation)
    except (KeyError, TypeError) as error:
        raise AnnotationError(
            path,
            f'not in the format of COCO: {type(error).__name__} {error}.',
            fix='It has images (id, file_name, width, height) and annotations (image_id, bbox).',
        ) from error
    return list(images.values())


def with_only(records: Iterable[dict[str, Any]], keys: Collection[str]) -> list[dict[str, Any]]:
    """Records whose annotations hold only some keys; outlines alone are most of a COCO file.

    Args:
        records: As :func:`group_by_image` gives them.
        keys: Of the annotations; those that an annotation lacks are not made up.
    """
    wanted = ('file_name', 'width', 'height', 'caption', 'broken')
    return [
        {
            **{key: record[key] for key in wanted if key in record},
            'annotations': [
                {key: annotation[key] for key in keys if key in annotation}
                for annotation in record['annotations']
            ],
        }
        for record in records
    ]


@DATASETS.register_module()
class CocoDetectionDataset(RegionDataset):
    """Read ``instances_*.json``: boxes in random order, each answered with its category.

    Args:
        ann_file: ``instances_train2017.json``.
        image_root: Folder of the images.
        pipeline: Transforms, or their configs.
        templates: See :func:`flmm.datasets.region_conversations.load_templates`.
        max_regions: Most boxes of an image.
        min_share: Least side of a box as a share of the image's (2 pixels of 224 officially).
        shapes: How often a region is given as ``box``, ``mask``, ``points`` or ``scribble``, for
            extractors with ``shapes=True``; None for boxes. Not in the release.
        seed: Of the random choices.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        pipeline: Iterable[dict | Transform] = (),
        templates: str | Mapping[str, Any] | None = None,
        max_regions: int = 100,
        min_share: float = 2 / 224,
        shapes: Mapping[str, float] | None = None,
        seed: int = 0,
        name: str = 'coco_detection',
    ) -> None:
        self.shapes = RegionShapes(shapes or {})
        content = load_json(ann_file)
        keys = (*REGION_KEYS, 'category_id', *self.shapes.keys)
        records = with_only(group_by_image(ann_file, content), keys)
        super().__init__(
            ann_file, records, image_root, name, 'coco_detection', pipeline, templates, seed
        )
        self.categories = {c['id']: c['name'] for c in content.get('categories', ())}
        self.max_regions, self.min_share = max_regions, min_share

    def image_name(self, record: Any) -> str:
        """Its ``file_name``."""
        return record['file_name']

    def draw(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        """One turn per box."""
        kept, dropped = usable_regions(
            record['annotations'], record['width'], record['height'], self.min_share
        )
        if not kept:
            return None
        kept = chooser.shuffled(kept)[: self.max_regions]
        given, without = self.shapes.give(kept, (record['height'], record['width']), chooser)
        if not given:
            return None
        turns, regions = [], []
        for number, (annotation, region) in enumerate(given, start=1):
            name = self.categories[annotation['category_id']]
            turns.append(Turn(self.question(chooser, number), plain(name)))
            meta = {'ann_id': annotation['id'], 'category': name}
            regions.append(replace(region, meta=meta))
        overview = self.overview(chooser, categories=', '.join(self.categories.values()))
        return RegionTalk(with_overview(overview, turns), regions, dropped + without)
