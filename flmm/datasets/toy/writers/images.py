"""What several writers share: image files and the COCO records of a scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from flmm.datasets.toy.scenes import SHAPES, STUFF, ToyScene

THING_CATEGORIES = [
    {'id': i + 1, 'name': name, 'supercategory': 'shape', 'isthing': 1}
    for i, name in enumerate(SHAPES)
]
STUFF_CATEGORIES = [
    {'id': i + 101, 'name': name, 'supercategory': 'background', 'isthing': 0}
    for i, name in enumerate(STUFF)
]
CATEGORY_IDS = {c['name']: c['id'] for c in THING_CATEGORIES + STUFF_CATEGORIES}
_UPSCALE = 4


def save_jpeg(scene: ToyScene, path: Path) -> None:
    """Write the picture of a scene once; high quality, no colour subsampling."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path, quality=95, subsampling=0)


def image_record(image_id: int, file_name: str, scene: ToyScene) -> dict:
    """Entry of COCO's ``images``."""
    return {
        'id': image_id,
        'file_name': file_name,
        'height': scene.height,
        'width': scene.width,
        'license': 1,
        'coco_url': '',
        'date_captured': '',
    }


def annotation_id(image_id: int, index: int) -> int:
    """Id of an object's annotation, the same in every file."""
    return image_id * 10 + index + 1


def instance_records(image_id: int, scene: ToyScene) -> list[dict]:
    """Entries of COCO's ``annotations``, one per object of the scene."""
    records = []
    for i, item in enumerate(scene.objects):
        mask = scene.object_mask(i)
        records.append(
            {
                'id': annotation_id(image_id, i),
                'image_id': image_id,
                'category_id': CATEGORY_IDS[item.shape],
                'segmentation': segmentation_of(mask),
                'iscrowd': 0,
                'area': float(mask.sum()),
                'bbox': [float(v) for v in bbox_of(mask)],
            }
        )
    return records


def bbox_of(mask: np.ndarray) -> list[int]:
    """COCO box ``[x, y, width, height]`` of a non-empty mask."""
    ys, xs = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)]


def segmentation_of(mask: np.ndarray) -> list[list[float]] | dict:
    """COCO segmentation: polygons, or an uncompressed RLE where there are holes."""
    enlarged = mask.astype(np.uint8).repeat(_UPSCALE, 0).repeat(_UPSCALE, 1)
    contours, hierarchy = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if (hierarchy[0, :, 3] < 0).all():
        polygons = [
            ((c[:, 0].astype(float) + 0.5) / _UPSCALE).round(2).ravel().tolist()
            for c in contours
            if len(c) >= 3
        ]
        rles = coco_mask.frPyObjects(polygons, *mask.shape)
        drawn = coco_mask.decode(coco_mask.merge(rles)).astype(bool)
        if (drawn & mask).sum() >= 0.95 * (drawn | mask).sum():
            return polygons
    columns = mask.T.ravel()
    edges = np.nonzero(np.diff(columns.astype(np.int8)))[0] + 1
    counts = np.diff(np.concatenate([[0], edges, [columns.size]])).tolist()
    return {'counts': ([0] if columns[0] else []) + counts, 'size': list(mask.shape)}
