"""Second stage of the detector: levels, offsets and losses by hand."""

import math

import pytest
import torch
from torch import nn

from flmm.models.box_heads.roi_box_head import RoIBoxHead, decode_boxes, encode_boxes, match_boxes


def blank_head(**options):
    """A head that says 0 of everything."""
    head = RoIBoxHead(1, channels=(4,), crop=1, **options)
    for layer in (head.score, head.box):
        nn.init.zeros_(layer.weight)
    return head


def test_each_box_is_read_from_the_level_of_its_size():
    head = RoIBoxHead(1, strides=(8, 16, 32), channels=(4,), crop=1)
    levels = [torch.full((1, 448 // s, 448 // s), float(s)) for s in head.strides]
    # 224 pixels belong to stride 16; half and double to its neighbours; the rest to the ends.
    sides = [8.0, 112.0, 223.0, 224.0, 447.0, 448.0]
    boxes = torch.tensor([[0.0, 0.0, side, side] for side in sides])
    # The smallest box alone reaches into the fading border: shift it.
    boxes[0] += 64
    assert head.crops(levels, boxes).flatten().tolist() == [8, 8, 8, 16, 16, 32]


def test_offsets_by_hand():
    anchors = torch.tensor([[0.0, 0, 10, 20]])
    # 0.1 * 10 to the right, 0.2 * 20 down, twice as wide: middle (6, 14), 20 by 20.
    offsets = torch.tensor([[1.0, 2.0, 5 * math.log(2), 0.0]])
    boxes = torch.tensor([[-4.0, 4, 16, 24]])
    assert torch.allclose(decode_boxes(offsets, anchors), boxes, atol=1e-4)
    assert torch.allclose(encode_boxes(boxes, anchors), offsets, atol=1e-4)
    # No box grows more than 1000 / 16 times.
    x0, _, x1, _ = decode_boxes(torch.tensor([[0.0, 0, 1e6, 0]]), anchors)[0].tolist()
    assert x1 - x0 == pytest.approx(625, abs=1e-2)


def test_an_overlap_of_exactly_the_threshold_matches():
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    owner, match = match_boxes(boxes, torch.tensor([[0.0, 0, 4, 2]]), 0.5)
    assert owner.tolist() == [0] and match.tolist() == [True]
    assert match_boxes(boxes, torch.tensor([[0.0, 0, 4, 2]]), 0.51)[1].tolist() == [False]


def test_losses_by_hand():
    head = blank_head(strides=(8,))
    levels, gt = [torch.ones(1, 8, 8)], torch.tensor([[0.0, 0, 10, 8]])
    proposals = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    losses = head.loss(levels, proposals, gt)
    # Even odds for all three boxes.
    assert losses['loss_score'].item() == pytest.approx(math.log(2))
    # The first proposal overlaps 0.8: its middle is to go 1 of 10 up, its height to 0.8; the true
    # box itself stays; the other is none. Over three boxes.
    expected = (10 * 0.1 + 5 * math.log(1 / 0.8)) / 3
    assert losses['loss_box'].item() == pytest.approx(expected, abs=1e-5)


def test_objects_are_a_limited_share_and_boxes_without_area_do_not_count():
    head = blank_head(strides=(8,))
    nn.init.constant_(head.score.bias[1:], 1.0)
    levels, gt = [torch.ones(1, 8, 8)], torch.tensor([[0.0, 0, 10, 10]])
    flat = torch.tensor([[20.0, 20, 20, 30]])
    far = torch.tensor([[50.0, 50, 60, 60]]).repeat(4, 1)
    # Cross-entropies of 'object' at logits (0, 1).
    hit, miss = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    score = head.loss(levels, torch.cat([gt, gt, far]), gt, samples=4)['loss_score']
    # A quarter of 4 is 1 of the 3 objects, and 3 of the 4 others.
    assert score.item() == pytest.approx((hit + 3 * miss) / 4, abs=1e-5)
    score = head.loss(levels, torch.cat([flat, flat, far[:1]]), gt)['loss_score']
    assert score.item() == pytest.approx((hit + miss) / 2, abs=1e-5)


def test_an_image_without_any_box_costs_nothing_but_has_a_gradient():
    head = blank_head(strides=(8,))
    losses = head.loss([torch.ones(1, 8, 8)], torch.zeros(0, 4), torch.zeros(0, 4))
    sum(losses.values()).backward()
    assert losses['loss_score'] == losses['loss_box'] == 0
    assert not head.score.weight.grad.any()
