"""Regions as masks, points and scribbles that are drawn inside of annotated objects."""

import random
from collections import Counter

import numpy as np
import pytest

from flmm.datasets.instruction import Chooser
from flmm.datasets.region_shapes import KINDS, RegionShapes, draw_points, draw_scribble
from flmm.structures import CocoMask

SIZE = (60, 80)
SQUARE = [[10.0, 10.0, 40.0, 10.0, 40.0, 50.0, 10.0, 50.0]]
BOX = (10.0, 10.0, 40.0, 50.0)


def chooser(seed=0):
    return Chooser(random.Random(seed))


def give(shapes, count=1, seed=0, **annotation):
    own = {'id': 3, 'segmentation': SQUARE, **annotation}
    return RegionShapes(shapes).give([(own, BOX)] * count, SIZE, chooser(seed))


def ring():
    rows, columns = np.mgrid[:60, :80]
    distance = np.hypot(rows - 30, columns - 40)
    return (distance < 25) & (distance > 12)


def on(mask, points):
    return all(mask[int(y), int(x)] for x, y in points)


def test_every_kind_comes_as_often_as_its_share_says():
    given, dropped = give({'box': 1, 'mask': 1, 'points': 2, 'scribble': 4}, count=2000)
    assert not dropped

    def kind(region):
        if region.points:
            return 'scribble' if region.joined else 'points'
        return 'mask' if region.mask else 'box'

    found = Counter(kind(region) for _, region in given)
    wanted = dict(zip(KINDS, (250, 250, 500, 1000), strict=True))
    assert all(abs(found[name] - count) < 90 for name, count in wanted.items())
    # As users give them: without a box, which is found later.
    assert all((region.box_xyxy is not None) == (kind(region) == 'box') for _, region in given)
    assert all(r.mask == CocoMask((SQUARE,)) for _, r in given if kind(r) == 'mask')


def test_without_shapes_no_choice_is_made():
    before, after = chooser(), chooser()
    given, _ = RegionShapes({}).give([({'id': 1}, BOX)], SIZE, before)
    assert given[0][1].box_xyxy == BOX
    assert before.choose(range(10**6)) == after.choose(range(10**6))
    assert RegionShapes({'box': 1.0, 'mask': 0.0}).keys == ()
    assert RegionShapes({'points': 1.0}).keys == ('segmentation',)


@pytest.mark.parametrize('seed', range(20))
def test_points_lie_inside_and_not_at_the_edge(seed):
    mask = ring()
    points = draw_points(mask, chooser(seed))
    assert 1 <= len(points) <= 3 and on(mask, points)
    depths = [np.hypot(y - 0.5 - 30, x - 0.5 - 40) for x, y in points]
    # The ring is 13 pixels wide: about two of them at either side are edge.
    assert all(13 < depth < 24 for depth in depths)


@pytest.mark.parametrize('seed', range(20))
def test_a_scribble_goes_round_the_hole_of_a_ring(seed):
    mask = ring()
    corners = draw_scribble(mask, chooser(seed))
    assert len(corners) >= 2
    for start, end in zip(corners, corners[1:], strict=False):
        line = np.linspace(np.array(start) - 0.5, np.array(end) - 0.5, 40)
        assert on(mask, np.rint(line))


def test_a_mask_of_one_pixel_at_the_border_has_a_point_and_a_stroke():
    mask = np.zeros((4, 5), bool)
    mask[3, 4] = True
    assert set(draw_points(mask, chooser())) == {(4.5, 3.5)}
    assert draw_scribble(mask, chooser()) == ((4.5, 3.5),)


@pytest.mark.parametrize('segmentation', [None, [], {'size': list(SIZE), 'counts': [60 * 80]}])
def test_an_object_without_outline_is_named(segmentation):
    given, dropped = give({'points': 1.0}, segmentation=segmentation)
    assert (given, dropped) == ([], [('annotation 3', 'no_outline')])
    assert len(give({'box': 1.0}, segmentation=segmentation)[0]) == 1


def test_other_options_and_outlines_are_refused():
    for shapes, message in (({'circle': 1}, 'circle'), ({'box': -1}, '0'), ({'mask': 0}, '0')):
        with pytest.raises(ValueError, match=message):
            RegionShapes(shapes)
    with pytest.raises(ValueError, match='three points'):
        give({'mask': 1.0}, segmentation=[[1.0, 2.0]])
