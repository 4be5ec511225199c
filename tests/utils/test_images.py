import numpy as np
import pytest
from PIL import Image

from flmm.utils.images import (
    fit_shape,
    image_to_tensor,
    longest_side_shape,
    rescale_and_normalise,
)


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [((480, 640), (768, 1024)), ((427, 640), (683, 1024)), ((3000, 2), (1024, 1))],
)
def test_longest_side_rounds_half_up_and_never_to_zero(shape, expected):
    assert longest_side_shape(*shape, 1024) == expected


def test_fit_shape_rounds_down_in_either_order():
    assert fit_shape(71, 100, 84) == (59, 84)
    # 17 * 84 / 28 is 51, but 17 / 28 * 84 falls just short of it.
    assert fit_shape(17, 28, 84) == (51, 84)
    assert fit_shape(17, 28, 84, ratio_first=True) == (50, 84)
    assert fit_shape(1, 5000, 84) == (1, 84)


def test_image_to_tensor_is_channels_first():
    image = Image.new('RGB', (3, 2))
    image.putpixel((2, 1), (1, 2, 3))
    tensor = image_to_tensor(image)
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 1, 2].tolist() == [1, 2, 3]


def test_rescale_comes_before_normalising():
    pixels = np.full((1, 1, 3), 255, np.uint8)
    out = rescale_and_normalise(pixels, 1 / 255, (0.5, 0.0, 1.0), (0.5, 2.0, 1.0))
    assert out.dtype == np.float32
    assert out[0, 0].tolist() == [1.0, 0.5, 0.0]
