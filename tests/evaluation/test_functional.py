import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from flmm.evaluation import functional as F


def masks(*rows):
    """Masks of one row of pixels each: '110' -> [[True, True, False]]."""
    return np.array([[[pixel == '1' for pixel in row]] for row in rows])


def test_intersection_and_union_count_pixels_of_each_phrase():
    intersection, union = F.intersection_and_union(masks('1100', '0000'), masks('0110', '0001'))
    assert intersection.tolist() == [1, 0]
    assert union.tolist() == [3, 1]


def test_tensors_and_arrays_of_any_kind_give_the_same_counts():
    pred, gt = masks('1100'), masks('0110')
    got = F.intersection_and_union(torch.from_numpy(pred), gt.astype(np.uint8))
    assert [x.tolist() for x in got] == [[1], [3]]


def test_iou_of_two_empty_masks_is_zero_as_in_the_release():
    assert F.mask_iou(masks('00', '11'), masks('00', '11')).tolist() == [0.0, 1.0]


def test_masks_of_another_size_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r'\(1, 1, 2\) and \(1, 1, 3\)'):
        F.intersection_and_union(masks('10'), masks('100'))


def test_masks_without_a_phrase_axis_are_refused():
    with pytest.raises(ValueError, match='height, width'):
        F.as_bool_masks(np.zeros((4, 4)))


def test_ciou_weighs_masks_by_area_and_miou_does_not():
    # IoUs 1/1 and 1/4: mean 0.625; areas (1 + 1) / (1 + 4) = 0.4.
    intersection, union = F.intersection_and_union(masks('1000', '1000'), masks('1000', '1111'))
    assert F.ciou(intersection, union) == approx(0.4)
    assert F.miou(F.iou(intersection, union)) == approx(0.625)


def test_all_empty_masks_have_ciou_zero():
    assert F.ciou([0, 0], [0, 0]) == 0.0


def test_precision_counts_the_threshold_itself_and_accuracy_does_not():
    ious = np.array([0.5, 0.6, 0.4, 0.7], dtype=np.float32)
    assert F.precision_at(ious, 0.5) == 0.75
    assert F.accuracy_at(ious, 0.5) == 0.5
    # 7/10 rounded to float32 is below the double 0.7, and still reaches it.
    assert F.precision_at(F.iou([7], [10]), 0.7) == 1.0


def test_pixel_accuracy_is_the_share_of_agreeing_pixels():
    correct = F.correct_pixels(masks('1100', '0000'), masks('0110', '0000'))
    assert correct.tolist() == [2, 4]
    assert F.pixel_accuracy(correct, [4, 4]).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ('ious', 'value'), [([0.0] * 5, 1e-5), ([1.0] * 4, 0.99999), ([0.37], 0.37001)]
)
def test_average_recall_of_constant_ious(ious, value):
    assert F.average_recall(np.array(ious, dtype=np.float32)) == approx(value, abs=1e-12)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_average_recall_is_the_riemann_sum_over_thresholds(ious):
    step = 1e-2
    thresholds = np.arange(0, 1, step)
    share = [np.mean(np.array(ious) >= threshold) for threshold in thresholds[:-1]]
    assert F.average_recall(ious, step) == approx(np.sum(share) * step, abs=1e-12)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_average_recall_is_within_a_step_of_the_mean_iou(ious):
    assert abs(F.average_recall(ious) - np.mean(ious)) <= 2e-5


@pytest.mark.parametrize('score', [F.average_recall, F.miou, F.accuracy_at])
def test_scores_of_no_phrase_are_nan(score):
    assert math.isnan(score(np.zeros(0)))
    assert math.isnan(F.ciou([], []))
    assert math.isnan(F.precision_at([], 0.5))
