"""Toy scenes with a label for every patch, to give a vision tower a start.

Real LLaVA models start from a CLIP tower that has seen 400 million captioned
images. This is the toy world's substitute.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from transformers import AutoImageProcessor

from flmm.datasets.llava_conversations import pad_to_square
from flmm.datasets.toy.scenes import COLORS, SHAPES, SIZES, STUFF, TEXTURES, ToyScene, sample_scene
from flmm.registry import DATASETS

KINDS = (*SHAPES, *STUFF)
# Columns of the labels and how many classes each has.
LABELS = {'kind': len(KINDS), 'color': len(COLORS), 'size': len(SIZES), 'texture': len(TEXTURES)}
_SPLIT = 5  # scenes of their own


@DATASETS.register_module()
class ToyPatches(Dataset):
    """Scenes rendered on demand, with what each patch shows.

    Args:
        num_scenes: Length of the data set.
        processor: Folder with the image processor of the LMM.
        grid: Patches per side.
        seed: Seed of the scenes.
    """

    def __init__(self, num_scenes: int, processor: str, grid: int = 12, seed: int = 0):
        self.num_scenes, self.grid, self.seed = num_scenes, grid, seed
        self.image_processor = AutoImageProcessor.from_pretrained(processor)

    def __len__(self) -> int:
        return self.num_scenes

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return ``pixel_values (3, H, W)``, ``labels (grid^2, 4)`` and ``offsets (grid^2, 2)``.

        Labels are -100 where they make no sense (padding; the colour of the
        sky). Offsets lead to the object's centre, in sides of the square; NaN
        where there is no object.
        """
        scene = sample_scene(self.seed, _SPLIT, index)
        square = pad_to_square(Image.fromarray(scene.image), self.image_processor.image_mean)
        pixels = self.image_processor(images=square, return_tensors='pt').pixel_values[0]
        labels, offsets = patch_labels(scene, self.grid)
        return {
            'pixel_values': pixels,
            'labels': torch.from_numpy(labels),
            'offsets': torch.from_numpy(offsets),
        }


def patch_labels(scene: ToyScene, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """What lies under the centre of each patch of the padded picture.

    Returns:
        Labels (grid^2, 4) int64, columns as ``LABELS``; offsets (grid^2, 2) float32.
    """
    side = max(scene.height, scene.width)
    top, left = (side - scene.height) // 2, (side - scene.width) // 2
    labels = np.full((grid, grid, len(LABELS)), -100, np.int64)
    offsets = np.full((grid, grid, 2), np.nan, np.float32)
    centers = (np.arange(grid) + 0.5) * side / grid
    for row, y in enumerate(centers - top):
        for column, x in enumerate(centers - left):
            if not (0 <= y < scene.height and 0 <= x < scene.width):
                continue
            label = int(scene.label_map[int(y), int(x)])
            if label < 0:
                labels[row, column, 0] = KINDS.index(scene.stuff[-1 - label])
                continue
            item = scene.objects[label]
            labels[row, column] = (
                KINDS.index(item.shape),
                list(COLORS).index(item.color),
                SIZES.index(item.size),
                TEXTURES.index(item.texture),
            )
            offsets[row, column] = (item.center[0] - x) / side, (item.center[1] - y) / side
    return labels.reshape(-1, len(LABELS)), offsets.reshape(-1, 2)
