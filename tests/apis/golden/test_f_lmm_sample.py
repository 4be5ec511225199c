"""Recorded samples of F-LMM as flmm's structures; tolerances of losses and scores."""

import numpy as np

from flmm.apis.golden.f_lmm_sample import _expand, loss_tolerance


def test_one_image_token_becomes_as_many_as_there_are_cells():
    ids, phrases, start = _expand(
        np.array([1, 7, 9, 5, 6]), np.array([-1, -1, -1, 0, 1]), image_token=9, cells=3
    )
    assert ids.tolist() == [1, 7, 9, 9, 9, 5, 6]
    assert phrases.tolist() == [-1, -1, -1, -1, -1, 0, 1]
    assert start == 2


def test_placeholders_in_a_row_are_replaced_as_a_whole():
    ids, phrases, start = _expand(
        np.array([1, 9, 9, 5]), np.array([-1, -1, -1, 0]), image_token=9, cells=4
    )
    assert (ids.tolist(), start) == ([1, 9, 9, 9, 9, 5], 1)
    assert phrases.tolist() == [-1] * 5 + [0]


def test_losses_are_compared_relatively_and_scores_absolutely():
    assert loss_tolerance('sam_loss_dice') == {'rtol_of_max': 1e-4}
    assert loss_tolerance('loss_mask', 1e-5, 1e-6) == {'atol': 1e-6}
    # A score counts pixels: one of ten thousand may flip, whatever the losses' tolerance.
    assert loss_tolerance('sam_accuracy', 1e-9) == {'atol': 1e-4}
    assert loss_tolerance('aiou', absolute=1e-9) == {'atol': 1e-4}
