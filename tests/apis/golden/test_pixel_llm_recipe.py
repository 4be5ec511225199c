import numpy as np
import pytest
import torch

from flmm.apis.golden.pixel_llm_recipe import close, count_layers, noise, recipe_arrays


def test_noise_is_a_function_of_seed_and_name():
    assert torch.equal(noise(1, 'a', (2, 3)), noise(1, 'a', (2, 3)))
    for other in (noise(2, 'a', (2, 3)), noise(1, 'b', (2, 3))):
        assert not torch.equal(noise(1, 'a', (2, 3)), other)
    assert noise(1, 'a', (5000,)).std() == pytest.approx(1, abs=0.03)


def test_kernels_are_scaled_by_what_they_sum_over():
    # Flax has the outputs last: a convolution of 3 x 3 cells of 4 channels sums 36 products.
    arrays = recipe_arrays(7, {'conv/kernel': [3, 3, 4, 5], 'dense/kernel': [25, 2]})
    np.testing.assert_allclose(
        arrays['conv/kernel'], noise(7, 'conv/kernel', (3, 3, 4, 5)) / 6, rtol=1e-6
    )
    np.testing.assert_allclose(
        arrays['dense/kernel'], noise(7, 'dense/kernel', (25, 2)) / 5, rtol=1e-6
    )


def test_scales_lie_near_one_and_biases_near_zero():
    arrays = recipe_arrays(7, {'norm/scale': [2000], 'norm/bias': [2000]})
    for name, mean in (('norm/scale', 1), ('norm/bias', 0)):
        assert arrays[name].mean() == pytest.approx(mean, abs=0.01)
        assert arrays[name].std() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ('error', 'largest', 'passes'),
    [(0.9e-3, 1.0, True), (1.1e-3, 1.0, False), (1.9e-4, 1e-3, True), (2.1e-4, 1e-3, False)],
)
def test_close_is_a_thousandth_of_the_largest_value_or_2e_4(error, largest, passes):
    want = np.array([largest, 0.0])
    result = close('x', torch.tensor([largest, error], dtype=torch.float64), want)
    assert result.passed is passes and result.name == 'x'


def test_layers_are_counted_by_the_largest_number():
    shapes = dict.fromkeys(
        ['tower/blocks.0/norm', 'tower/blocks.10/norm', 'tower/blocks.norm/x', 'other/blocks.99/y'],
        [1],
    )
    assert count_layers(shapes, 'tower/blocks.', '/') == 11
    assert count_layers(shapes, 'tower/layers.', '/') == 0
