import pytest
import torch

from flmm.models.image_encoders import CLIPTowerEncoder
from flmm.registry import MODELS

SIZES = dict(
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=32,
    patch_size=8,
)


def test_it_gives_the_grid_of_the_chosen_layer():
    torch.manual_seed(0)
    encoder = CLIPTowerEncoder(config=SIZES).eval()
    images = torch.rand(2, 3, 64, 64) * 255
    features = encoder(images)
    assert features.shape == (2, 4, 4, 16) and encoder.out_channels == 16
    pixels = torch.nn.functional.interpolate(images, size=(32, 32), mode='bilinear', antialias=True)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (encoder.mean, encoder.std))
    states = encoder.vit((pixels - mean) / std, output_hidden_states=True).hidden_states[-2]
    assert torch.allclose(features.flatten(1, 2), states[:, 1:], atol=1e-4)
    assert all(p.requires_grad for p in encoder.parameters())
    assert not any(
        p.requires_grad for p in CLIPTowerEncoder(config=SIZES, frozen=True).parameters()
    )


def test_the_tower_of_a_llava_is_taken(tiny_llava):
    from transformers import LlavaForConditionalGeneration

    encoder = CLIPTowerEncoder(pretrained=str(tiny_llava))
    tower = LlavaForConditionalGeneration.from_pretrained(tiny_llava).model.vision_tower
    want, have = tower.state_dict(), encoder.vit.state_dict()
    assert want.keys() == have.keys() and all(torch.equal(want[k], have[k]) for k in want)
    assert encoder.image_size == (48, 48)
    with pytest.raises(ValueError, match='either'):
        CLIPTowerEncoder()
    assert MODELS.get('CLIPTowerEncoder') is CLIPTowerEncoder
