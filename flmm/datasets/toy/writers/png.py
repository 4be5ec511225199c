"""COCO 2017 instances and panoptic files with Panoptic Narrative Grounding on top.

Files: ``{train,val}2017/*.jpg``, ``annotations/instances_*.json``,
``annotations/panoptic_*.json``, ``annotations/panoptic_*/*.png`` (segment id =
R + 256 G + 65536 B) and ``annotations/png_coco_*.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from flmm.datasets.toy import language
from flmm.datasets.toy.scenes import ToyScene
from flmm.datasets.toy.writers import images

_SPLITS = {'train': 'train2017', 'val': 'val2017'}


class PanopticNarrativesWriter:
    """Writes PNG with the COCO files that it refers to.

    Args:
        root: Folder that stands for COCO's.
    """

    def __init__(self, root: Path):
        self.root = root
        self._files = {
            split: {'images': [], 'instances': [], 'panoptic': [], 'narratives': []}
            for split in _SPLITS
        }

    def add(
        self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator
    ) -> list[language.Utterance]:
        """Write a scene's picture and panoptic map, remember its annotations.

        Returns:
            The narrative; empty for a split that PNG does not have.
        """
        if split not in _SPLITS:
            return []
        name, files = _SPLITS[split], self._files[split]
        images.save_jpeg(scene, self.root / name / f'{image_id:012d}.jpg')
        files['images'].append(images.image_record(image_id, f'{image_id:012d}.jpg', scene))
        files['instances'] += images.instance_records(image_id, scene)
        ids = 1 + rng.choice(2**24 - 1, len(scene.objects) + len(scene.stuff), replace=False)
        thing_ids, stuff_ids = ids[: len(scene.objects)], ids[len(scene.objects) :]
        self._add_panoptic(name, files, image_id, scene, thing_ids, stuff_ids)
        pieces = language.narrative(rng, scene)
        files['narratives'].append(
            {
                'image_id': str(image_id),
                'annotator_id': 0,
                'caption': ' '.join(piece.text for piece in pieces),
                'segments': [
                    {
                        'utterance': piece.text,
                        'segment_ids': [str(thing_ids[i]) for i in piece.objects]
                        + [str(stuff_ids[j]) for j in piece.stuff],
                        'plural': piece.plural,
                        'noun': piece.is_noun,
                    }
                    for piece in pieces
                ],
            }
        )
        return pieces

    def _add_panoptic(
        self,
        name: str,
        files: dict[str, list],
        image_id: int,
        scene: ToyScene,
        thing_ids: np.ndarray,
        stuff_ids: np.ndarray,
    ) -> None:
        colored = np.zeros((scene.height, scene.width, 3), np.uint8)
        segments = []
        regions = [
            (ident, item.shape, scene.object_mask(i))
            for i, (ident, item) in enumerate(zip(thing_ids, scene.objects, strict=True))
        ] + [
            (ident, kind, scene.stuff_mask(j))
            for j, (ident, kind) in enumerate(zip(stuff_ids, scene.stuff, strict=True))
        ]
        for ident, category, mask in regions:
            colored[mask] = (ident % 256, ident // 256 % 256, ident // 65536)
            if mask.any():
                segments.append(
                    {
                        'id': int(ident),
                        'category_id': images.CATEGORY_IDS[category],
                        'iscrowd': 0,
                        'area': int(mask.sum()),
                        'bbox': images.bbox_of(mask),
                    }
                )
        folder = self.root / 'annotations' / f'panoptic_{name}'
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colored).save(folder / f'{image_id:012d}.png')
        files['panoptic'].append(
            {
                'image_id': image_id,
                'file_name': f'{image_id:012d}.png',
                'segments_info': segments,
            }
        )

    def finish(self) -> None:
        """Write the annotation files."""
        folder = self.root / 'annotations'
        folder.mkdir(parents=True, exist_ok=True)
        everything = images.THING_CATEGORIES + images.STUFF_CATEGORIES
        for split, name in _SPLITS.items():
            files = self._files[split]
            contents = {
                f'instances_{name}': {
                    'images': files['images'],
                    'annotations': files['instances'],
                    'categories': images.THING_CATEGORIES,
                },
                f'panoptic_{name}': {
                    'images': files['images'],
                    'annotations': files['panoptic'],
                    'categories': everything,
                },
                f'png_coco_{name}': files['narratives'],
            }
            for stem, content in contents.items():
                (folder / f'{stem}.json').write_text(json.dumps(content))
