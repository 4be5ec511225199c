"""Patch labels follow the scene graph."""

import numpy as np

from flmm.datasets.toy.patches import KINDS, patch_labels, patch_patterns
from flmm.datasets.toy.scenes import COLORS, sample_scene


def test_labels_name_what_lies_under_each_patch():
    scene = sample_scene(0, 3)
    labels, offsets = patch_labels(scene, 12)
    side = max(scene.height, scene.width)
    top, left = (side - scene.height) // 2, (side - scene.width) // 2
    for cell in range(144):
        y = (cell // 12 + 0.5) * side / 12 - top
        x = (cell % 12 + 0.5) * side / 12 - left
        if not (0 <= y < scene.height and 0 <= x < scene.width):
            assert (labels[cell] == -100).all()
            continue
        label = scene.label_map[int(y), int(x)]
        if label < 0:
            assert KINDS[labels[cell, 0]] == scene.stuff[-1 - label]
            assert labels[cell, 1] == -100 and np.isnan(offsets[cell]).all()
        else:
            item = scene.objects[label]
            assert (KINDS[labels[cell, 0]], list(COLORS)[labels[cell, 1]]) == (
                item.shape,
                item.color,
            )
            assert np.allclose(offsets[cell] * side, (item.center[0] - x, item.center[1] - y))


def test_patterns_cover_as_much_as_the_objects_do():
    scene = sample_scene(0, 3)
    patterns = patch_patterns(scene, 12)
    assert patterns.shape == (144, 16)
    side = max(scene.height, scene.width)
    share = (scene.label_map >= 0).sum() / side**2
    assert abs(patterns.mean() - share) < 0.02
