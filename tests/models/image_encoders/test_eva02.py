"""What EVA-02 sees of padding, and what it needs; grids and sizes are in test_encoders."""

import sys

import pytest
import torch

from flmm.models.image_encoders import EVA02Encoder
from flmm.utils.errors import FLMMError


@torch.no_grad()
def test_what_lies_in_the_padding_is_not_seen():
    pytest.importorskip('timm')
    torch.manual_seed(0)
    encoder = EVA02Encoder(56, width=16, depth=1, num_heads=2).eval()
    images = torch.rand(1, 3, 56, 56) * 255
    inside = torch.ones(1, 56, 56)
    inside[:, 28:] = 0
    other = images.clone()
    other[:, :, 28:] = 255 - other[:, :, 28:]
    assert encoder(images, inside).equal(encoder(other, inside))
    assert not torch.allclose(encoder(images), encoder(other), atol=1e-3)


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm.models.eva', None)
    with pytest.raises(FLMMError, match=r"pip install 'flmm\[pixel_llm\]'"):
        EVA02Encoder(56, width=16, depth=1, num_heads=2)
