"""RefCOCO, RefCOCO+ and RefCOCOg in the layout of the ``refer`` release.

Files: ``refcoco/``, ``refcoco+/``, ``refcocog/`` with ``instances.json`` and
``refs(unc).p`` or ``refs(umd).p``; pictures in ``train2014/``.
"""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np

from flmm.datasets.toy import language
from flmm.datasets.toy.scenes import ToyScene
from flmm.datasets.toy.writers import images

# Name: (split by, style of the expressions, expressions per object, official splits)
DATASETS = {
    'refcoco': ('unc', 'short', 3, ('train', 'val', 'testA', 'testB')),
    'refcoco+': ('unc', 'plain', 3, ('train', 'val', 'testA', 'testB')),
    'refcocog': ('umd', 'long', 2, ('train', 'val', 'test')),
}
# The real testA holds people and testB everything else; here round things and the others.
_ROUND = ('circle', 'ring')


class RefCocoWriter:
    """Writes the three RefCOCO data sets over the same pictures.

    Args:
        root: Folder that stands for COCO's.
    """

    def __init__(self, root: Path):
        self.root = root
        self._images: list[dict] = []
        self._annotations: list[dict] = []
        self._refs: dict[str, list[dict]] = {name: [] for name in DATASETS}
        self._sentences = dict.fromkeys(DATASETS, 0)

    def add(self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator) -> None:
        """Write a scene's picture, remember its references."""
        if split not in ('train', 'val', 'test'):
            return
        file_name = f'COCO_train2014_{image_id:012d}.jpg'
        images.save_jpeg(scene, self.root / 'train2014' / file_name)
        self._images.append(images.image_record(image_id, file_name, scene))
        self._annotations += images.instance_records(image_id, scene)
        for name, (_, style, count, splits) in DATASETS.items():
            for index in rng.permutation(len(scene.objects))[:4]:
                texts = language.expressions_of(rng, scene, int(index), style, count)
                if texts:
                    part = self._official_split(split, splits, scene, int(index))
                    self._refs[name].append(self._ref(name, part, image_id, scene, index, texts))

    @staticmethod
    def _official_split(split: str, splits: tuple[str, ...], scene: ToyScene, index: int) -> str:
        if split in splits:
            return split
        return 'testA' if scene.objects[index].shape in _ROUND else 'testB'

    def _ref(
        self, name: str, split: str, image_id: int, scene: ToyScene, index: int, texts: list[str]
    ) -> dict:
        first = self._sentences[name]
        self._sentences[name] += len(texts)
        ann_id = images.annotation_id(image_id, int(index))
        return {
            'ref_id': len(self._refs[name]) + 1,
            'ann_id': ann_id,
            'image_id': image_id,
            'split': split,
            'category_id': images.CATEGORY_IDS[scene.objects[index].shape],
            'file_name': f'COCO_train2014_{image_id:012d}_{ann_id}.jpg',
            'sent_ids': list(range(first, first + len(texts))),
            'sentences': [
                {
                    'tokens': re.findall(r'\w+', text),
                    'raw': text.capitalize(),
                    'sent_id': first + k,
                    'sent': text,
                }
                for k, text in enumerate(texts)
            ],
        }

    def finish(self) -> None:
        """Write the annotation files of the three data sets."""
        for name, (split_by, *_) in DATASETS.items():
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            instances = {
                'images': self._images,
                'annotations': self._annotations,
                'categories': images.THING_CATEGORIES,
            }
            (folder / 'instances.json').write_text(json.dumps(instances))
            # The real files are pickles. Writing one is harmless; flmm reads
            # them back with a restricted unpickler only.
            (folder / f'refs({split_by}).p').write_bytes(pickle.dumps(self._refs[name], protocol=2))
