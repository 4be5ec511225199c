"""Pixel labels follow the scene graph."""

import torch

from flmm.datasets.toy.patches import KINDS
from flmm.datasets.toy.pixels import ToyPixels
from flmm.datasets.toy.scenes import COLORS, SHAPES, sample_scene


def test_labels_agree_with_the_scene():
    sample, scene = ToyPixels(5, seed=2)[3], sample_scene(2, 6, 3)
    kinds, colors = sample['kinds'], sample['colors']
    assert sample['pixels'].shape == (3, 128, 128) and kinds.shape == (64, 64)
    present = {KINDS[k] for k in kinds[kinds >= 0].tolist()}
    assert present == {o.shape for o in scene.objects} | set(scene.stuff)
    assert {list(COLORS)[c - 1] for c in colors[colors > 0].tolist()} == {
        o.color for o in scene.objects
    }
    things = (kinds >= 0) & (kinds < len(SHAPES))
    assert ((colors > 0) == things).all()


def test_offsets_lead_into_the_image():
    sample = ToyPixels(5, seed=2)[1]
    known = ~sample['offsets'].isnan().any(-1)
    rows, columns = torch.nonzero(known, as_tuple=True)
    x = columns * 8 + 4 + 128 * sample['offsets'][known][:, 0]
    y = rows * 8 + 4 + 128 * sample['offsets'][known][:, 1]
    assert known.any() and ((x > 0) & (x < 128) & (y > 0) & (y < 128)).all()
