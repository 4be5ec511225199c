"""The region module: gradients, several regions and none, borders, degenerate boxes, shapes."""

import pytest
import torch

from flmm.models.roi_extractors import MultiLevelRoIQuery, multi_level
from flmm.models.roi_extractors.multi_level import check_boxes, cut_out
from flmm.structures import RegionInputs

CHANNELS, OUT = 8, 6


@pytest.fixture
def module():
    torch.manual_seed(0)
    module = MultiLevelRoIQuery(
        CHANNELS,
        OUT,
        num_levels=2,
        hidden_channels=10,
        box_channels=5,
        roi_size=3,
        rounds=2,
        groups=4,
        shapes=True,
    )
    for parameter in module.parameters():
        # The convolutions' own 0.01 would leave nothing of the image in so small a module.
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


@pytest.fixture
def levels():
    torch.manual_seed(1)
    return [torch.randn(2, CHANNELS, 4, 4) for _ in range(2)]


def boxes(*rows, masks=None, is_mask=None):
    rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return RegionInputs(torch.arange(len(rows)), rows, masks, is_mask)


def test_gradients_agree_with_finite_differences(module, levels):
    module, levels = module.double(), [level.double().requires_grad_() for level in levels]
    regions = [boxes((0.1, 0.2, 0.7, 0.9), (0.0, 0.0, 1.0, 1.0)), boxes((0.3, 0.1, 0.6, 0.5))]
    names = ['roi_align.pconvs.0.weight', 'roi_align.updims.weight', 'mlvl_fuse.input_conv.1.bias']
    chosen = [dict(module.named_parameters())[name] for name in names]

    def outputs(*_):
        return torch.cat(module(levels, regions))

    assert torch.autograd.gradcheck(
        outputs, (*levels, *chosen), eps=1e-6, atol=1e-6, fast_mode=True
    )


def test_half_precision_does_not_move_boxes(module, levels, monkeypatch):
    # bfloat16 counts in steps of 1/256 here: it would make the box a quarter wider.
    exact = boxes((0.9010, 0.2, 0.9160, 0.7))
    seen = []
    own = multi_level.cut_out
    monkeypatch.setattr(
        multi_level, 'cut_out', lambda level, *rest: [seen.append(rest[0]), own(level, *rest)][1]
    )
    module.bfloat16()([level.bfloat16() for level in levels], [exact, None])
    assert len(seen) == 2 and all(torch.equal(one.float(), exact.boxes) for one in seen)


def test_gradients_through_a_mask_agree_with_finite_differences(module, levels):
    module, levels = module.double(), [level.double().requires_grad_() for level in levels]
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 1:5, 2:7] = True
    own = boxes((0.25, 0.1, 0.9, 0.65), masks=mask, is_mask=torch.tensor([True]))
    assert torch.autograd.gradcheck(
        lambda *_: module(levels, [own, None])[0], tuple(levels), atol=1e-6, fast_mode=True
    )


def test_each_image_has_its_own_regions_and_an_image_may_have_none(module, levels):
    first, second = (0.1, 0.2, 0.7, 0.9), (0.3, 0.1, 0.6, 0.5)
    one, none = module(levels, [boxes(first, second), None])
    assert one.shape == (2, OUT) and none.shape == (0, OUT)
    alone = module([level[:1] for level in levels], [boxes(second)])[0]
    assert torch.allclose(one[1:], alone, atol=1e-6)
    other = module(levels, [None, boxes(second)])[1]
    assert not torch.allclose(other, alone, atol=1e-3)  # another image


def test_no_region_at_all_gives_empty_tensors(module, levels):
    assert [tuple(own.shape) for own in module(levels, [None, boxes()])] == [(0, OUT), (0, OUT)]


def test_a_box_over_the_border_is_what_is_left_of_it(module, levels):
    over = module(levels, [boxes((-0.5, 0.25, 0.5, 1.75)), None])[0]
    inside = module(levels, [boxes((0.0, 0.25, 0.5, 1.0)), None])[0]
    assert torch.equal(over, inside)


@pytest.mark.parametrize(
    'box',
    [
        (0.5, 0.5, 0.5, 0.9),  # no width
        (0.6, 0.1, 0.4, 0.9),  # corners swapped
        (1.2, 0.1, 1.5, 0.9),  # outside
        (0.1, 0.1, float('nan'), 0.9),
    ],
)
def test_degenerate_boxes_are_refused_by_name(module, levels, box):
    with pytest.raises(ValueError, match=r'Box 1 of 2 has no inside'):
        module(levels, [boxes((0, 0, 1, 1), box), None])


def test_clipping_leaves_boxes_within_alone():
    rows = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    assert torch.equal(check_boxes(rows), rows)


def test_cut_out_of_a_ramp_gives_the_coordinates_of_its_bins():
    # Channel = x of the cell's centre, in cells: bins of the box 2..6 of 8 are centred at 2.5 ...
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) + 0.5
    cut = cut_out(ramp, torch.tensor([[0.25, 0.25, 0.75, 0.75]]), torch.tensor([0]), roi_size=4)
    assert torch.allclose(cut[0, 0, 0], torch.tensor([2.5, 3.5, 4.5, 5.5]))


def test_a_shape_replaces_what_was_cut_out_by_its_box(module, levels):
    box = (0.0, 0.0, 1.0, 1.0)
    left = torch.zeros(1, 8, 8, dtype=torch.bool)
    left[:, :, :4] = True
    shaped = {}
    for name, mask in (('left', left), ('right', left.flip(2))):
        own = boxes(box, masks=mask, is_mask=torch.tensor([True]))
        shaped[name] = module(levels, [own, None])[0]
    plain = module(levels, [boxes(box), None])[0]
    assert not torch.allclose(shaped['left'], shaped['right'], atol=1e-3)
    assert not torch.allclose(shaped['left'], plain, atol=1e-3)
    unused = boxes(box, masks=left, is_mask=torch.tensor([False]))
    assert torch.equal(module(levels, [unused, None])[0], plain)


def test_an_extractor_for_boxes_says_that_it_knows_no_shapes(levels):
    module = MultiLevelRoIQuery(CHANNELS, OUT, num_levels=2, hidden_channels=4, roi_size=2)
    own = boxes(
        (0, 0, 1, 1),
        masks=torch.ones(1, 8, 8, dtype=torch.bool),
        is_mask=torch.tensor([True]),
    )
    with pytest.raises(ValueError, match='shapes=True'):
        module(levels, [own, None])


def test_wrong_levels_are_refused(module, levels):
    with pytest.raises(ValueError, match='2 levels of 8 channels'):
        module(levels[:1], [None, None])


def test_large_levels_are_averaged_down():
    module = MultiLevelRoIQuery(
        CHANNELS, OUT, num_levels=2, hidden_channels=4, roi_size=2, base_side=4
    )
    levels = [torch.randn(1, CHANNELS, 4, 4) for _ in range(2)]
    large = [level.repeat_interleave(3, 2).repeat_interleave(3, 3) for level in levels]
    region = [boxes((0.1, 0.1, 0.8, 0.8))]
    assert torch.allclose(module(large, region)[0], module(levels, region)[0], atol=1e-5)
