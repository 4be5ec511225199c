"""The scenes: same seed, same scene; masks, graph and picture agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmm.datasets.toy.scenes import COLORS, sample_scene


def test_same_seed_gives_the_same_scene_and_another_seed_another():
    first, again, other = sample_scene(3, 0, 5), sample_scene(3, 0, 5), sample_scene(3, 1, 5)
    assert np.array_equal(first.image, again.image) and first.objects == again.objects
    assert not (first.image.shape == other.image.shape and np.array_equal(first.image, other.image))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_every_pixel_belongs_to_one_region_and_objects_are_mostly_visible(seed):
    scene = sample_scene(seed)
    assert min(scene.image.shape[:2]) >= 96
    cover = sum(scene.object_mask(i).astype(int) for i in range(len(scene.objects)))
    cover += sum(scene.stuff_mask(j).astype(int) for j in range(len(scene.stuff)))
    assert (cover == 1).all()
    assert scene.objects and all(item.visible >= 0.6 for item in scene.objects)
    assert all(scene.object_mask(i).sum() > 40 for i in range(len(scene.objects)))


@pytest.mark.parametrize('index', range(5))
def test_plain_objects_have_their_colour_in_the_picture(index):
    scene = sample_scene(11, index)
    for i, item in enumerate(scene.objects):
        if item.texture == 'plain':
            mean = np.median(scene.image[scene.object_mask(i)], axis=0)
            nearest = min(COLORS, key=lambda name: np.abs(mean - COLORS[name]).sum())
            assert nearest == item.color


def test_centre_is_the_mean_of_the_visible_pixels():
    scene = sample_scene(0, 4)
    ys, xs = np.nonzero(scene.object_mask(0))
    assert scene.objects[0].center == pytest.approx((xs.mean(), ys.mean()))
