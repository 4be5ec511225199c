"""COCO detection, and LLaVA's conversations with what a detector found in their pictures.

Files: ``coco_detection/annotations/instances_{train,val}2017.json`` with ``{train,val}2017/``;
``llava_regions/conversations_{train,val}.json`` and ``detections_{train,val}.json`` with
``images/``. A category of the former is a colour with a shape: short answers that tell both.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

from flmm.datasets.toy.dialogues import conversation
from flmm.datasets.toy.scenes import COLORS, SHAPES, ToyScene
from flmm.datasets.toy.writers import images

_CATEGORIES = [
    {'id': index, 'name': f'{color} {shape}', 'supercategory': shape, 'isthing': 1}
    for index, (color, shape) in enumerate(itertools.product(COLORS, SHAPES), start=1)
]
_CATEGORY_IDS = {category['name']: category['id'] for category in _CATEGORIES}


class CocoDetectionWriter:
    """Writes boxes with categories.

    Args:
        root: Root of the data; everything goes to its folder ``coco_detection``.
    """

    def __init__(self, root: Path):
        self.root = root / 'coco_detection'
        self._parts = {split: {'images': [], 'annotations': []} for split in ('train', 'val')}

    def add(self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator) -> None:
        """Write a scene's picture, remember its objects."""
        if split not in self._parts:
            return
        name = f'{image_id:012d}.jpg'
        images.save_jpeg(scene, self.root / f'{split}2017' / name)
        self._parts[split]['images'].append(images.image_record(image_id, name, scene))
        for item, record in zip(
            scene.objects, images.instance_records(image_id, scene), strict=True
        ):
            category = _CATEGORY_IDS[f'{item.color} {item.shape}']
            self._parts[split]['annotations'].append({**record, 'category_id': category})

    def finish(self) -> None:
        """Write the annotation files."""
        folder = self.root / 'annotations'
        folder.mkdir(parents=True, exist_ok=True)
        for split, part in self._parts.items():
            content = {**part, 'categories': _CATEGORIES}
            (folder / f'instances_{split}2017.json').write_text(json.dumps(content))


class LLaVARegionsWriter:
    """Writes conversations and detections; a detector misses some and finds some that are not.

    Args:
        root: Root of the data; everything goes to its folder ``llava_regions``.
    """

    def __init__(self, root: Path):
        self.root = root / 'llava_regions'
        self._parts = {split: ([], []) for split in ('train', 'val')}

    def add(self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator) -> None:
        """Write a scene's picture, remember its conversation and detections."""
        if split not in self._parts:
            return
        conversations, detections = self._parts[split]
        name = f'{image_id:012d}.jpg'
        images.save_jpeg(scene, self.root / 'images' / name)
        turns = []
        for number, (request, answer) in enumerate(conversation(rng, scene)[:3]):
            turns.append({'from': 'human', 'value': ('' if number else '<image>\n') + request})
            turns.append({'from': 'gpt', 'value': answer})
        conversations.append({'id': str(image_id), 'image': name, 'conversations': turns})
        boxes, labels = [], []
        for index, item in enumerate(scene.objects):
            x, y, w, h = images.bbox_of(scene.object_mask(index))
            corners = (x / scene.width, y / scene.height)
            far = ((x + w) / scene.width, (y + h) / scene.height)
            boxes.append([*corners, *far, round(float(rng.uniform(0.2, 1.0)), 3)])
            labels.append(item.shape)
        detections.append({'filename': name, 'pred_bboxes': boxes, 'labels': labels})

    def finish(self) -> None:
        """Write the json files."""
        self.root.mkdir(parents=True, exist_ok=True)
        for split, (conversations, detections) in self._parts.items():
            path = self.root / f'conversations_{split}.json'
            path.write_text(json.dumps(conversations))
            (self.root / f'detections_{split}.json').write_text(json.dumps(detections))
