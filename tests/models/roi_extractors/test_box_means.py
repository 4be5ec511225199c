from types import SimpleNamespace

import torch
from torch import nn

from flmm.models.roi_extractors import box_means, cells_inside, watched_box_means
from flmm.structures import ImageGrid, RegionInputs


def sample_with(boxes, positions):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    grid = ImageGrid(positions, (0, 0, 1, 1))
    regions = RegionInputs(torch.arange(len(boxes)), boxes)
    return SimpleNamespace(regions=regions, image_grids=(grid,))


def test_cells_count_when_their_centre_is_inside():
    # Centres at 1/8, 3/8, 5/8, 7/8.
    (inside,) = cells_inside(torch.tensor([[0.3, 0.0, 0.7, 0.2]]), 4, 4)
    assert inside.nonzero().tolist() == [[0, 1], [0, 2]]


def test_a_box_between_centres_holds_the_nearest_cell():
    (inside,) = cells_inside(torch.tensor([[0.8, 0.55, 0.82, 0.58]]), 4, 4)
    assert inside.nonzero().tolist() == [[2, 3]]


def test_the_mean_is_that_of_the_tokens_of_these_cells():
    embeds = torch.arange(10, dtype=torch.float32)[None, :, None].expand(1, 10, 3)
    # The grid's tokens begin at 4, row by row.
    sample = sample_with([[0, 0, 1, 0.5], [0.5, 0.5, 1, 1]], torch.arange(4, 8).view(2, 2))
    (means,) = box_means(embeds, [sample])
    assert means[:, 0].tolist() == [(4 + 5) / 2, 7] and means.shape == (2, 3)


def test_a_sample_without_regions_has_no_means():
    sample = SimpleNamespace(regions=None, image_grids=())
    (means,) = box_means(torch.zeros(1, 5, 3), [sample])
    assert means.shape == (0, 3)


def test_the_first_reading_is_watched_and_nothing_after_the_block():
    class Decoder(nn.Module):
        def forward(self, inputs_embeds):
            return inputs_embeds

    decoder, embeds = Decoder(), torch.ones(1, 8, 2, requires_grad=True)
    sample = sample_with([[0, 0, 1, 1]], torch.arange(4).view(2, 2))
    with watched_box_means(decoder, [sample]) as found:
        assert not found
        decoder(inputs_embeds=embeds)
        decoder(inputs_embeds=2 * embeds)
    decoder(inputs_embeds=3 * embeds)
    assert len(found) == 1 and found[0].tolist() == [[1, 1]] and not found[0].requires_grad
