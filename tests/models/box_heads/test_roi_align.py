"""Crops worked by hand; the comparison with torchvision's is in test_dense_box_head."""

import pytest
import torch

from flmm.models.box_heads.roi_align import roi_align

#: 10 * row + column.
GRID = (10 * torch.arange(4.0)[:, None] + torch.arange(4.0))[None]


def test_rows_and_columns_are_sampled_at_the_middles_of_the_crops_cells():
    # Columns at 1 and 3, rows at 0.5 and 1.5, of cells whose middles lie at 0.5, 1.5, ...
    crop = roi_align(GRID, torch.tensor([[0.0, 0.0, 4.0, 2.0]]), 2, samples=1)
    assert crop[0, 0].tolist() == [[0.5, 2.5], [10.5, 12.5]]


def test_samples_of_a_cell_are_averaged():
    # One cell with samples a quarter of the box from its sides: columns 0.5 and 1.5 to the right
    # of 1, that is cells 1 and 2; rows alike.
    crop = roi_align(GRID, torch.tensor([[1.0, 1.0, 3.0, 3.0]]), 1, samples=2)
    assert crop.flatten().tolist() == [16.5]
    peak = torch.zeros(1, 4, 4)
    peak[0, 1, 1] = 8.0
    assert roi_align(peak, torch.tensor([[1.0, 1.0, 3.0, 3.0]]), 1, 2).item() == 2.0


@pytest.mark.parametrize('box', [[5.0, 0, 7, 4], [-4.0, 0, -2, 4], [0.0, 6, 4, 8]])
def test_outside_there_is_nothing(box):
    assert not roi_align(torch.ones(2, 4, 4), torch.tensor([box]), 2).any()


def test_every_box_gets_every_channel_and_none_is_fine():
    features = torch.stack([torch.full((4, 4), 3.0), torch.full((4, 4), 7.0)])
    boxes = torch.tensor([[1.0, 1, 3, 3], [1.0, 1, 2, 2], [1.0, 1, 3, 2]])
    crops = roi_align(features, boxes, 2)
    assert crops.shape == (3, 2, 2, 2)
    assert (crops[:, 0] == 3).all() and (crops[:, 1] == 7).all()
    assert roi_align(features, torch.zeros(0, 4), 2).shape == (0, 2, 2, 2)
