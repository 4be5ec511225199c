"""Rows before columns."""

import torch

from flmm.structures import ImageGrid


def test_the_shape_is_rows_and_columns():
    grid = ImageGrid(torch.arange(6).view(2, 3), (0.0, 0.0, 30.0, 20.0))
    assert grid.shape == (2, 3) and type(grid.shape) is tuple
    assert grid.image == 0
