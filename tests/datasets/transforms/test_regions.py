"""Regions made complete: boxes of masks and points, clipping, refusal by name."""

import numpy as np
import pytest

from flmm.datasets.transforms import LoadRegions
from flmm.structures import CocoMask, GroundingSample, Region, SkippedSample


def load(*regions, **options):
    sample = GroundingSample('s', ori_shape=(30, 40), regions=list(regions))
    return LoadRegions(**options)(sample)


def test_boxes_are_clipped_to_the_image():
    assert load(Region((-5, 3, 60, 20))).regions[0].box_xyxy == (0, 3, 40, 20)


def test_shares_become_pixels():
    region = load(Region((0.25, 0.5, 0.5, 1.0), relative=True)).regions[0]
    assert region.box_xyxy == (10, 15, 20, 30) and not region.relative


def test_annotated_masks_are_decoded_and_give_their_box():
    polygon = CocoMask(([[5, 4, 15, 4, 15, 9, 5, 9]],))
    region = load(Region(mask=polygon)).regions[0]
    assert region.mask.shape == (30, 40) and region.mask[6, 10] and not region.mask[6, 20]
    rows, columns = np.nonzero(region.mask)
    assert region.box_xyxy == (
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    )


def test_a_mask_of_another_size_than_the_image_is_refused():
    item = load(Region((0, 0, 9, 9)), Region(mask=np.ones((40, 30), bool)))
    assert isinstance(item, SkippedSample)
    assert 'region 2 of 2 is a mask of (40, 30) pixels' in item.detail


def test_points_get_a_box_around_them():
    assert load(Region(points=((10, 10), (20, 15)))).regions[0].box_xyxy == (9, 9, 21, 16)
    assert load(Region(points=((0, 0),))).regions[0].box_xyxy == (0, 0, 1, 1)


@pytest.mark.parametrize(
    'region',
    [
        Region((10, 10, 10, 20)),
        Region((50, 5, 60, 20)),
        Region((20, 10, 10, 20)),
        Region((0, 0, float('nan'), 5)),
        Region((0, 0, 5, float('nan'))),
        Region(mask=np.zeros((30, 40), bool)),
        Region(),
    ],
)
def test_degenerate_regions_skip_the_sample_by_name(region):
    item = load(Region((0, 0, 9, 9)), region)
    assert isinstance(item, SkippedSample) and item.reason == 'annotation_invalid'
    assert 'region 2 of 2 has no inside' in item.detail


def test_a_broken_mask_is_the_annotation_s_fault():
    item = load(Region(mask=CocoMask(([[1, 2]],))))
    assert isinstance(item, SkippedSample) and item.reason == 'annotation_invalid'
