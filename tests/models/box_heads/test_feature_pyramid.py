"""Levels of features from one grid, their sizes and norms by hand."""

import pytest
import torch
from torch import nn

from flmm.models.box_heads.feature_pyramid import ChannelNorm, SimpleFeaturePyramid


def test_the_norm_is_over_the_channels_of_each_cell():
    # Cells (1, 3) and (0, 10): less their means, over their deviations, both are (-1, 1).
    x = torch.tensor([[[[1.0, 0.0]], [[3.0, 10.0]]]])
    norm = ChannelNorm(2, eps=0.0)
    norm.weight.data = torch.tensor([1.0, 2.0])
    norm.bias.data = torch.tensor([0.0, 5.0])
    assert norm(x).tolist() == [[[[-1.0, -1.0]], [[7.0, 7.0]]]]


@torch.no_grad()
def test_levels_have_the_sizes_of_their_factors_and_halve_on_top():
    pyramid = SimpleFeaturePyramid(8, 4, factors=(4, 2, 1, 0.5), num_top_levels=2)
    levels = pyramid(torch.randn(2, 8, 8, 6))
    shapes = [tuple(level.shape) for level in levels]
    sizes = [(32, 24), (16, 12), (8, 6), (4, 3), (2, 2), (1, 1)]
    assert shapes == [(2, 4, *size) for size in sizes]


@torch.no_grad()
def test_the_top_is_every_second_cell_or_a_convolution_of_what_is_positive():
    torch.manual_seed(0)
    last, top = SimpleFeaturePyramid(8, 4, (1.0,), num_top_levels=1)(torch.randn(1, 8, 5, 4))
    assert top.equal(last[:, :, [0, 2, 4]][..., [0, 2]])
    pyramid = SimpleFeaturePyramid(8, 4, (1.0,), num_top_levels=2)
    nn.init.zeros_(pyramid.p6.weight)
    nn.init.constant_(pyramid.p6.bias, -1.0)
    nn.init.ones_(pyramid.p7.weight)
    nn.init.constant_(pyramid.p7.bias, 0.5)
    # p6 is -1 everywhere: a sum over it is at most -4, over what is positive of it 0.
    _, p6, p7 = pyramid(torch.randn(1, 8, 4, 4))
    assert (p6 == -1).all() and (p7 == 0.5).all()


@pytest.mark.parametrize('options', [dict(factors=(3.0,)), dict(num_top_levels=3)])
def test_other_factors_and_tops_are_refused(options):
    with pytest.raises(ValueError, match='factors of 4, 2, 1, 0.5 and 0 to 2 top levels'):
        SimpleFeaturePyramid(8, 4, **options)
