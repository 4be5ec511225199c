import math

import pytest
import torch

from flmm.models.losses import MaskLoss, mask_accuracy


def test_losses_and_scores_worked_by_hand():
    # Two masks of four pixels; logits 0 are probability 1/2, +-log(3) are 3/4 and 1/4.
    three = math.log(3)
    logits = torch.tensor([[[three, three], [-three, -three]], [[0.0, 0.0], [0.0, 0.0]]])
    target = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [1, 1]]], dtype=torch.bool)
    values = MaskLoss()(logits, target)
    # Cross-entropy: three right pixels -log(3/4), one wrong -log(1/4), four -log(1/2).
    expected = (3 * math.log(4 / 3) + math.log(4) + 4 * math.log(2)) / 8
    assert float(values['loss_mask']) == pytest.approx(expected)
    # Dice: 1 - (2 * 3/4 + 1) / (2 + 1 + 1) = 3/8, and 1 - (2 * 2 + 1) / (2 + 4 + 1) = 2/7.
    assert float(values['loss_dice']) == pytest.approx((3 / 8 + 2 / 7) / 2)
    # A logit of 0 is background: 3 of 8 pixels right, IoUs 1/2 and 0.
    assert float(values['accuracy']) == pytest.approx(3 / 8)
    assert float(values['aiou']) == pytest.approx(1 / 4)


def test_weights_scale_the_two_losses():
    logits, target = torch.randn(2, 4, 4), torch.ones(2, 4, 4)
    one, other = MaskLoss()(logits, target), MaskLoss(2.0, 0.5)(logits, target)
    assert float(other['loss_mask']) == pytest.approx(2 * float(one['loss_mask']))
    assert float(other['loss_dice']) == pytest.approx(0.5 * float(one['loss_dice']))


def test_targets_are_resized_to_the_logits_by_the_nearest_pixel():
    target = torch.zeros(1, 4, 6, dtype=torch.bool)
    target[0, :2, :3] = True
    sharp = torch.full((1, 2, 2), -20.0)
    sharp[0, 0, 0] = 20
    values = MaskLoss()(sharp, target)
    assert float(values['loss_mask']) < 1e-6 and float(values['aiou']) == 1


def test_gradient_reaches_the_logits_but_not_through_the_scores():
    logits = torch.randn(1, 4, 4, requires_grad=True)
    values = MaskLoss()(logits, torch.ones(1, 4, 4))
    assert not values['accuracy'].requires_grad and not values['aiou'].requires_grad
    (values['loss_mask'] + values['loss_dice']).backward()
    assert (logits.grad != 0).all()


def test_huge_and_bf16_logits_give_finite_losses():
    logits = torch.tensor([[[1e4, -1e4], [-1e4, 1e4]]])
    target = torch.tensor([[[0, 0], [1, 1]]])
    for value in MaskLoss()(logits, target).values():
        assert value.isfinite()
    assert MaskLoss()(logits.bfloat16(), target)['loss_mask'].dtype == torch.float32


def test_the_iou_of_two_empty_masks_is_zero():
    nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
    scores = mask_accuracy(nothing, nothing)
    assert float(scores['aiou']) == 0 and float(scores['accuracy']) == 1
