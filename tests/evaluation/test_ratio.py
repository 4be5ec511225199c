import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from flmm.evaluation.ratio import Ratio


def test_a_mean_is_a_ratio_with_ones():
    assert Ratio.mean(np.array([1.0, 0.0, 0.5])).value == approx(0.5)


def test_a_mean_over_a_subset_ignores_the_rest():
    assert Ratio.mean(np.array([1.0, 0.0, 0.5]), np.array([True, False, True])).value == 0.75
    assert math.isnan(Ratio.mean(np.array([1.0]), np.array([False])).value)


def test_grouping_by_sample_keeps_the_score():
    # cIoU: (1 + 2 + 4) / (2 + 4 + 4); samples 0 and 2, the second has no phrase.
    ratio = Ratio(np.array([1, 2, 4]), np.array([2, 4, 4])).group(np.array([0, 0, 2]), 3)
    assert ratio.numerator.tolist() == [3, 0, 4] and ratio.denominator.tolist() == [6, 0, 4]
    assert ratio.value == approx(0.7)


def test_the_score_of_each_term_is_nan_where_it_has_none():
    each = Ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0])).each
    assert each[0] == 0.25 and math.isnan(each[1])


def test_a_resample_counts_a_sample_as_often_as_it_was_drawn():
    ratio = Ratio(np.array([1.0, 4.0]), np.array([2.0, 4.0]))
    weights = np.array([[1, 1], [2, 0], [0, 0]], dtype=float)
    values = ratio.resampled(weights)
    assert values[:2].tolist() == [approx(5 / 6), 0.5] and math.isnan(values[2])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=9))
def test_drawing_every_sample_once_is_the_score(pairs):
    ratio = Ratio(*np.array(pairs, dtype=float).T)
    assert ratio.resampled(np.ones((1, len(pairs))))[0] == approx(ratio.value)
