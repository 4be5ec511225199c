"""Regions in the frame that a vision tower sees, by hand."""

import numpy as np
import torch

from flmm.models.lmms.region_geometry import region_frame
from flmm.structures import GroundingSample, Region

#: An image of 40 x 20 pixels in the middle of a square of side 40.
SQUARE = (0.0, -10.0, 40.0, 30.0)


def frame_of(*regions, frame=SQUARE, side=8):
    return region_frame(GroundingSample('s', regions=list(regions)), frame, side)


def test_boxes_are_shares_of_the_frame_and_have_no_masks():
    boxes, masks, is_mask = frame_of(Region((10, 5, 30, 15)), Region((0, 0, 40, 20)))
    assert boxes.dtype == torch.float32
    assert boxes.tolist() == [[0.25, 0.375, 0.75, 0.625], [0.0, 0.25, 1.0, 0.75]]
    assert masks is None and is_mask is None


def test_a_mask_lies_where_it_is_in_the_padded_square():
    mask = np.zeros((20, 40), bool)
    mask[:10, :20] = True  # the image's top left quarter
    boxes, masks, is_mask = frame_of(
        Region((0, 0, 20, 10), mask=mask), Region((0, 0, 40, 20)), side=8
    )
    assert is_mask.tolist() == [True, False] and len(boxes) == 2
    # Cells of 5 pixels; ten rows of padding are two cells.
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[2:4, :4] = True
    assert torch.equal(masks[0], wanted) and not masks[1].any()


def test_a_mask_too_thin_for_any_cell_is_not_lost():
    mask = np.zeros((20, 40), bool)
    mask[7, 3] = True
    _, masks, _ = frame_of(Region((3, 7, 4, 8), mask=mask))
    # Pixel (3, 17) of the square.
    assert masks[0].nonzero().tolist() == [[3, 0]]


def test_points_are_dots_and_a_stroke_joins_them():
    points = ((5.0, 0.0), (35.0, 0.0))
    box = (5.0, 0.0, 35.0, 1.0)
    _, dots, _ = frame_of(Region(box, points=points), side=64)
    _, stroke, _ = frame_of(Region(box, points=points, joined=True), side=64)
    middle = (16, 32)  # row 10 of 40 pixels, column 20
    assert not dots[0][middle] and stroke[0][middle]
    assert dots[0][16, 8] and dots[0][16, 56]


def test_points_outside_stay_at_the_border():
    _, masks, _ = frame_of(Region((0, 0, 1, 1), points=((-99.0, 99.0),)), side=8)
    assert masks[0][7, 0]
