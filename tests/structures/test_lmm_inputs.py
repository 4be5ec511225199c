import torch

from flmm.structures import ImageGrid, LMMInputs


def inputs(phrase_ids):
    ids = torch.arange(len(phrase_ids))
    grid = ImageGrid(torch.zeros(2, 3, dtype=torch.int64), (0, 0, 30, 20))
    pixels = {'pixel_values': torch.zeros(1, 3, 4, 4)}
    return LMMInputs(ids, torch.tensor(phrase_ids), (grid,), (20, 30), tensors=pixels)


def test_phrases_without_tokens_are_not_among_the_indices():
    assert inputs([-1, 3, 3, -1, 0]).phrase_indices == (0, 3)
    assert inputs([-1, -1]).phrase_indices == ()


def test_moving_leaves_grids_and_the_original_where_they_are():
    original = inputs([-1, 0])
    moved = original.to('meta')
    assert moved.input_ids.is_meta and moved.phrase_ids.is_meta
    assert moved.tensors['pixel_values'].is_meta and moved.labels is None
    assert not moved.grids[0].positions.is_meta and moved.grids[0].shape == (2, 3)
    assert not original.input_ids.is_meta
