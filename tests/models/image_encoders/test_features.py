import pytest
import torch

from flmm.models.image_encoders import (
    content_origins,
    content_shapes,
    fuse_features,
    normalise_images,
)


def test_padding_stays_zero_after_normalising():
    images = torch.full((1, 3, 4, 6), 50.0)
    inside = torch.ones(1, 4, 6)
    inside[:, 3:] = 0
    inside[:, :, 4:] = 0
    pixels = normalise_images(images, (10, 20, 30), (2, 5, 10), inside)
    assert pixels[0, :, 0, 0].tolist() == [20, 6, 2]
    assert not pixels[0, :, 3].any() and not pixels[0, :, :, 4:].any()
    assert content_shapes(inside).tolist() == [[3, 4]]


def test_images_are_shrunk_but_never_enlarged():
    images = torch.zeros(1, 3, 8, 8)
    assert normalise_images(images, (0,) * 3, (1,) * 3, size=(4, 4)).shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match=r'\(16, 16\) pixels got images of \(8, 8\)'):
        normalise_images(images, (0,) * 3, (1,) * 3, size=(16, 16))


def test_features_meet_on_the_largest_grid():
    small, large = torch.full((1, 2, 2, 3), 7.0), torch.randn(1, 4, 4, 5)
    fused = fuse_features([small, large])
    assert fused.shape == (1, 4, 4, 8)
    assert torch.allclose(fused[..., :3], torch.full((1, 4, 4, 3), 7.0))
    assert torch.equal(fused[..., 3:], large)


def test_origins_are_where_the_image_begins():
    inside = torch.zeros(2, 8, 8)
    inside[0, :, 2:5], inside[1, 3:] = 1, 1
    assert content_origins(inside).tolist() == [[2, 0], [0, 3]]
    assert content_shapes(inside).tolist() == [[8, 3], [5, 8]]
