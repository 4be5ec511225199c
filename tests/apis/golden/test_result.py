import math

import numpy as np
import pytest
import torch
from pytest import approx

from flmm.apis.golden.result import compare_array, compare_exact, failure


def test_the_relative_error_is_on_the_scale_of_the_whole_tensor():
    result = compare_array('x', torch.tensor([1.0, 0.002]), [1.0, 0.001], rtol_of_max=1e-2)
    assert result.passed
    assert (result.max_abs, result.max_rel) == (approx(1e-3, rel=1e-3), approx(1e-3, rel=1e-3))


@pytest.mark.parametrize(
    ('limits', 'passed'),
    [
        ({'rtol_of_max': 1e-3}, False),
        ({'rtol_of_max': 0.11}, True),
        ({'atol': 0.9}, False),
        ({'atol': 1.0}, True),
        ({'rtol_of_max': 1e-3, 'atol': 1.0}, True),
    ],
)
def test_either_tolerance_is_enough(limits, passed):
    assert compare_array('x', [11.0, 0.0], [10.0, 0.0], **limits).passed is passed


def test_a_tolerance_is_needed():
    with pytest.raises(ValueError, match='tolerance'):
        compare_array('x', 1.0, 1.0)


def test_another_shape_fails_and_says_so():
    result = compare_array('x', np.zeros((2, 3)), np.zeros((3, 2)), atol=1.0)
    assert not result.passed
    assert result.note == 'shape (2, 3), expected (3, 2)'


@pytest.mark.parametrize(
    ('got', 'want', 'passed'),
    [
        (math.nan, math.nan, True),
        (math.inf, math.inf, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.inf, -math.inf, False),
        (0.0, 0.0, True),
        (1.0, 0.0, False),
    ],
)
def test_not_finite_values_never_pass_by_accident(got, want, passed):
    assert compare_array('x', [got, 2.0], [want, 2.0], rtol_of_max=1e-5).passed is passed


def test_empty_arrays_are_equal():
    assert compare_array('x', np.zeros((0, 3)), np.zeros((0, 3)), atol=0.0).passed


def test_exact_values():
    assert compare_exact('x', 'one two', 'one two').passed
    assert compare_exact('x', [1, 2], [1, 2]).passed
    assert compare_exact('x', np.array([1, 2]), [1, 2]).passed
    assert not compare_exact('x', np.array([1, 2]), [1, 3]).passed
    wrong = compare_exact('x', 'one', 'two')
    assert not wrong.passed and "got 'one', expected 'two'" in wrong.note


def test_an_error_becomes_one_failed_line():
    result = failure('check', KeyError('a\nb'))
    assert not result.passed
    assert 'KeyError' in result.line() and '\n' not in result.line()


def test_a_line_holds_name_errors_tolerance_and_verdict():
    line = compare_array('pred_masks', [1.0], [2.0], rtol_of_max=1e-5).line()
    for part in ('FAIL', 'pred_masks', '1.00e+00', '5.00e-01', 'rel 1e-05'):
        assert part in line
