"""Regions as the LMM reads them travel whole."""

import torch

from flmm.structures import RegionInputs


def test_regions_are_counted_and_moved_with_their_masks():
    boxes = RegionInputs(torch.tensor([3, 5]), torch.rand(2, 4))
    moved = boxes.to('meta')
    assert len(boxes) == 2 and moved.boxes.device.type == 'meta'
    assert moved.masks is None and moved.is_mask is None
    shapes = RegionInputs(
        torch.tensor([3]), torch.rand(1, 4), torch.ones(1, 8, 8).bool(), torch.tensor([True])
    )
    moved = shapes.to('meta')
    assert {t.device.type for t in (moved.positions, moved.masks, moved.is_mask)} == {'meta'}
    assert moved.masks.shape == (1, 8, 8)
