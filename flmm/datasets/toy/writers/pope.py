"""POPE: ``pope/coco_pope_{random,popular,adversarial}.json`` about the val pictures."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np

from flmm.datasets.toy.scenes import SHAPES, ToyScene
from flmm.datasets.toy.writers import images

_NUMBER = 3


class PopeWriter:
    """Writes yes/no questions about shapes, as many with yes as with no, to each val picture.

    As in POPE (arXiv 2305.10355) the shapes that are not there are drawn at random, are the
    most frequent ones of the split, or those that are most often seen beside what is there.

    Args:
        root: Root of the data; everything goes to its folder ``pope``.
    """

    def __init__(self, root: Path):
        self.root = root / 'pope'
        self._scenes: list[tuple[str, list[str], list[str]]] = []

    def add(self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator) -> None:
        """Write a scene's picture, remember what it shows."""
        if split != 'val' or not scene.objects:
            return
        name = f'COCO_val2014_{image_id:012d}.jpg'
        images.save_jpeg(scene, self.root / 'val2014' / name)
        shown = list(dict.fromkeys(item.shape for item in scene.objects))
        order = [SHAPES[i] for i in rng.permutation(len(SHAPES))]
        self._scenes.append((name, shown, order))

    def finish(self) -> None:
        """Write the three files."""
        frequent = Counter(shape for _, shown, _ in self._scenes for shape in shown)
        beside = Counter(
            pair
            for _, shown, _ in self._scenes
            for one in combinations(shown, 2)
            for pair in (one, one[::-1])
        )
        self.root.mkdir(parents=True, exist_ok=True)
        for setting in ('random', 'popular', 'adversarial'):
            rows: list[dict] = []
            for name, shown, order in self._scenes:
                ranks = {
                    'random': {shape: 0 for shape in order},
                    'popular': frequent,
                    'adversarial': {s: sum(beside[s, one] for one in shown) for s in order},
                }[setting]
                absent = [shape for shape in order if shape not in shown]
                absent.sort(key=lambda shape: -ranks[shape])
                count = min(_NUMBER, len(shown), len(absent))
                asked = [(shape, 'yes') for shape in order if shape in shown][:count]
                asked += [(shape, 'no') for shape in absent[:count]]
                rows += [
                    {
                        'question_id': len(rows) + number,
                        'image': name,
                        'text': f'Is there a {shape} in the image?',
                        'label': label,
                    }
                    for number, (shape, label) in enumerate(asked, 1)
                ]
            path = self.root / f'coco_pope_{setting}.json'
            path.write_text('\n'.join(map(json.dumps, rows)))
