"""SAM's positions at other sizes by hand; whole encoders are in test_encoders."""

import pytest
import torch

from flmm.models.image_encoders import SAMImageEncoder
from flmm.models.image_encoders.sam_encoder import resize_sam_positions

SIZES = dict(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    mlp_dim=8,
    output_channels=4,
    window_size=2,
    global_attn_indexes=(0,),
)
NAME = 'layers.0.attn.rel_pos_w'


@pytest.mark.parametrize(
    'before, after',
    [
        # Places -1/4, 1/4, 3/4, 5/4; beyond the ends there is only the end.
        ([0.0, 1.0], [0.0, 0.25, 0.75, 1.0]),
        # Places 1/2 and 5/2 with a filter twice as wide: weights 3, 3, 1 of 7, and mirrored.
        ([0.0, 1.0, 2.0, 3.0], [5 / 7, 16 / 7]),
    ],
)
def test_relative_positions_are_resized_linearly(before, after):
    weights = {NAME: torch.tensor(before)[:, None]}
    fitted = resize_sam_positions(weights, {NAME: torch.zeros(len(after), 1)})
    assert fitted[NAME].flatten().tolist() == pytest.approx(after)


def test_what_fits_or_is_no_position_is_passed_on_untouched():
    weights = {NAME: torch.ones(3, 1), 'neck.weight': torch.ones(2), 'more': torch.ones(1)}
    fitted = resize_sam_positions(weights, {NAME: torch.ones(3, 1), 'neck.weight': torch.ones(5)})
    assert all(fitted[name] is tensor for name, tensor in weights.items())


@torch.no_grad()
def test_padding_is_the_mean_colour_and_nothing_of_it_is_seen():
    torch.manual_seed(0)
    encoder = SAMImageEncoder(32, SIZES, mean=(10, 20, 30), std=(1, 1, 1)).eval()
    images = torch.rand(1, 3, 32, 32) * 255
    inside = torch.ones(1, 32, 32)
    inside[..., 16:] = 0
    filled = images.clone()
    filled[..., 16:] = torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1)
    assert torch.allclose(encoder(images, inside), encoder(filled), atol=1e-6)
    assert encoder(images).shape == (1, 2, 2, 4)


@pytest.mark.parametrize('frozen', [True, False])
def test_it_trains_only_where_it_is_told_to(frozen):
    encoder = SAMImageEncoder(32, SIZES, frozen=frozen)
    assert {p.requires_grad for p in encoder.parameters()} == {not frozen}
