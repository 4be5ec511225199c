import pytest
import torch
import torch.nn.functional as F

from flmm.models.mask_heads import UNetMaskHead
from flmm.models.mask_heads.unet_mask_head import Float32InterpConv


def head(**options):
    torch.manual_seed(0)
    settings = dict(in_channels=5, base_channels=4, num_stages=3, upsample_to=16) | options
    return UNetMaskHead(**settings).eval()


def maps(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ('grid', 'size'),
    [
        ((6, 6), (16, 16)),  # 6 * 16 / 6
        ((6, 3), (16, 8)),  # the longer side decides
        ((5, 7), (11, 16)),  # 5 * 16 / 7 = 11.4
        ((16, 9), (16, 9)),  # nothing to enlarge; padded to 16 x 12 and cut back
        ((24, 30), (24, 30)),  # never made smaller
        ((1, 1), (16, 16)),
    ],
)
def test_sizes(grid, size):
    model = head()
    prepared, before_padding = model.prepare(maps(2, 5, *grid))
    assert before_padding == size
    # The stride of three stages is 4.
    assert prepared.shape[-2:] == tuple(-(-side // 4) * 4 for side in size)
    with torch.no_grad():
        assert model(maps(2, 5, *grid)).shape == (2, *size)


def test_maps_are_normalised_first_then_enlarged_by_the_factor_then_padded():
    given = maps(1, 5, 5, 7)
    prepared, (height, width) = head().prepare(given)
    normalised = given / given.sum(dim=(-2, -1), keepdim=True)
    want = F.interpolate(normalised, scale_factor=16 / 7, mode='bilinear')
    torch.testing.assert_close(prepared[..., :height, :width], want)
    by_size = F.interpolate(normalised, size=(11, 16), mode='bilinear')
    assert (want - by_size).abs().max() > 1e-4  # so the difference is seen
    assert prepared[..., height:, :].abs().sum() == 0 == prepared[..., width:].abs().sum()


def test_the_scale_of_attention_does_not_matter_and_empty_maps_do_not_divide_by_zero():
    model, given = head(), maps(2, 5, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(model(given), model(given * 1e-4), atol=1e-5, rtol=1e-4)
        assert model(torch.zeros(1, 5, 6, 6)).isfinite().all()


def test_each_phrase_is_predicted_by_itself():
    model, given = head().train(), maps(3, 5, 6, 6)
    with torch.no_grad():
        together = model(given)
        alone = torch.cat([model(one[None]) for one in given])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_another_number_of_maps_is_explained():
    with pytest.raises(ValueError, match='expects 5 maps .* got 7.*same LMM'):
        head()(maps(1, 7, 6, 6))


def test_bf16_maps_and_weights():
    model, given = head(), maps(2, 5, 6, 6)
    with torch.no_grad():
        want = model(given)
        half = model(given.bfloat16())
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, want, atol=0.1, rtol=0.05)
        out = model.bfloat16()(given)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), want, atol=0.2, rtol=0.1)


def test_enlarging_rounds_to_bf16_once():
    layer = Float32InterpConv(1, 1).bfloat16()
    layer.interp_upsample[1].conv.weight.data.fill_(1)
    layer.interp_upsample[1].conv.bias.data.fill_(0)
    x = maps(1, 1, 4, 4).bfloat16()
    want = F.interpolate(x.float(), scale_factor=2, mode='bilinear').bfloat16()
    assert torch.equal(layer(x), want)


def test_everything_trains():
    model = head()
    model(maps(2, 5, 6, 6)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
