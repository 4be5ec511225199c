"""Toy scenes with a label for every other pixel, to give SAM's image encoder a start."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from flmm.datasets.toy.panoptic_prompts import normalise_for_sam
from flmm.datasets.toy.patches import KINDS
from flmm.datasets.toy.scenes import COLORS, sample_scene
from flmm.registry import DATASETS

_SPLIT = 6  # scenes of their own
NUM_COLORS = len(COLORS) + 1  # 0: not an object


@DATASETS.register_module()
class ToyPixels(Dataset):
    """Scenes rendered on demand, with what each pixel of a half-size map shows.

    Args:
        num_scenes: Length of the data set.
        side: Side of SAM's image.
        stride: Pixels of it per cell of its embedding.
        seed: Seed of the scenes.
    """

    def __init__(self, num_scenes: int, side: int = 128, stride: int = 8, seed: int = 0):
        self.num_scenes, self.side, self.stride, self.seed = num_scenes, side, stride, seed

    def __len__(self) -> int:
        return self.num_scenes

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return one scene; S = ``side``, M = S / 2, E = S / ``stride``.

        Returns:
            ``pixels (3, S, S)``; ``kinds`` and ``colors (M, M)``, -100 on
            padding; ``offsets (E, E, 2)`` to the centre of the cell's object in
            units of S, NaN where there is none.
        """
        scene = sample_scene(self.seed, _SPLIT, index)
        pixels, (width, height) = normalise_for_sam(Image.fromarray(scene.image), self.side)
        resized = cv2.resize(scene.label_map, (width, height), interpolation=cv2.INTER_NEAREST)
        # Labels: objects from 0, stuff from -1 downwards, padding -100.
        labels = np.full((self.side, self.side), -100, np.int64)
        labels[:height, :width] = resized
        kind_of, color_of = {-100: -100}, {-100: -100}
        centers = {}
        for i, item in enumerate(scene.objects):
            kind_of[i], color_of[i] = KINDS.index(item.shape), 1 + list(COLORS).index(item.color)
            centers[i] = np.array(item.center) * width / scene.width
        for j, name in enumerate(scene.stuff):
            kind_of[-1 - j], color_of[-1 - j] = KINDS.index(name), 0
        half = labels[1::2, 1::2]
        middle = np.arange(self.stride // 2, self.side, self.stride)
        offsets = np.full((len(middle), len(middle), 2), np.nan, np.float32)
        for row, y in enumerate(middle):
            for column, x in enumerate(middle):
                if labels[y, x] >= 0:
                    offsets[row, column] = (centers[int(labels[y, x])] - (x, y)) / self.side
        return {
            'pixels': pixels,
            'kinds': torch.from_numpy(np.vectorize(kind_of.get)(half)),
            'colors': torch.from_numpy(np.vectorize(color_of.get)(half)),
            'offsets': torch.from_numpy(offsets),
        }
