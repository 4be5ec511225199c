import pytest
import torch

from flmm.models.point_heads import attention_places
from flmm.structures import ImageGrid


def grid(box=(0.0, 0.0, 40.0, 20.0), shape=(2, 4)):
    return ImageGrid(torch.arange(shape[0] * shape[1]).view(shape), box)


def test_centres_are_in_the_image_s_own_coordinates():
    maps = torch.zeros(1, 2, 2, 4)
    maps[0, 0, 0, 3] = 0.7  # right above: cell from (30, 0) to (40, 10)
    maps[0, 1] = 0.1  # everywhere alike
    found = attention_places(maps, grid(), (20, 40)).view(2, 2, 2)
    for power in range(2):
        assert found[power, 0].tolist() == pytest.approx([2 * 35 / 40 - 1, 2 * 5 / 20 - 1])
        assert found[power, 1].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_the_fourth_power_follows_the_peak():
    maps = torch.zeros(1, 1, 2, 4)
    maps[0, 0, 0, 0], maps[0, 0, 0, 3] = 2e-6, 1e-6
    mean, peak = attention_places(maps, grid(), (20, 40)).view(2, 2)[:, 0].tolist()
    # Cells at x = 5 and 35 of 40: means 15 and (16 * 5 + 35) / 17.
    assert mean == pytest.approx(2 * 15 / 40 - 1)
    assert peak == pytest.approx(2 * (16 * 5 + 35) / 17 / 40 - 1)


def test_a_grid_with_padding_and_an_empty_map():
    maps = torch.zeros(1, 1, 2, 4)
    assert attention_places(maps, grid(), (20, 40)).tolist() == [[0, 0, 0, 0]]
    maps[0, 0, 0, 0] = 1.0
    found = attention_places(maps, grid((0.0, -20.0, 40.0, 40.0)), (20, 40))
    assert found[0, 1] < -1  # above the image


def test_spreads_are_the_deviations_around_the_centres():
    maps = torch.zeros(1, 1, 2, 4)
    maps[0, 0, 0, [0, 3]] = 0.5  # x = 5 and 35 of 40: 15 around 20, which is 0.75 of -1..1
    maps.requires_grad_()
    found = attention_places(maps, grid(), (20, 40), spread=True).view(2, 2, 2)
    for power in range(2):
        assert found[power, 0].tolist() == pytest.approx([0, -0.5], abs=1e-6)
        assert found[power, 1].tolist() == pytest.approx([0.75, 0], abs=2e-3)
    found.sum().backward()
    assert torch.isfinite(maps.grad).all()
