import pytest
import torch

from flmm.models.image_encoders import LMMImageEncoder
from flmm.models.lmms import HFLMM
from flmm.registry import MODELS
from flmm.utils.errors import FLMMError


def test_cells_are_the_lmm_s_visual_tokens(tiny_llava):
    lmm = dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32')
    encoder = LMMImageEncoder(lmm).eval()
    assert encoder.image_size == (48, 48) and encoder.out_channels == 32
    assert not any(p.requires_grad for p in encoder.parameters())
    # The language model is gone.
    assert not any('embed_tokens' in name for name, _ in encoder.named_parameters())
    images = torch.rand(2, 3, 48, 48) * 255
    inside = torch.ones(2, 48, 48)
    inside[1, 40:] = 0
    cells = encoder(images, inside)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (encoder.mean, encoder.std))
    whole = HFLMM(str(tiny_llava), dtype='float32').eval().model
    pixels = (images - mean) / std * inside[:, None]
    want = torch.stack(list(whole.model.get_image_features(pixel_values=pixels).pooler_output))
    assert cells.shape == (2, 6, 6, 32)
    assert torch.allclose(cells.flatten(1, 2), want, atol=1e-4)
    trained = LMMImageEncoder(lmm, frozen=False)
    assert all(p.requires_grad for p in trained.parameters())
    assert MODELS.get('LMMImageEncoder') is LMMImageEncoder


def test_an_lmm_that_gives_no_square_grid_is_refused(tiny_llava):
    encoder = LMMImageEncoder(dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32'))
    features = encoder.backbone.get_image_features

    def shorter(pixel_values):
        output = features(pixel_values=pixel_values)
        output.pooler_output = [tokens[:30] for tokens in output.pooler_output]
        return output

    encoder.backbone.get_image_features = shorter
    with pytest.raises(FLMMError, match='30 tokens'):
        encoder(torch.zeros(1, 3, 48, 48))
