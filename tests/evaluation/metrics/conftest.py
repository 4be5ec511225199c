import numpy as np
import pytest
import torch

from flmm.structures import GroundingPrediction, GroundingSample, Phrase


@pytest.fixture
def make_prediction():
    """Make a prediction of one-row masks written as '1100'."""

    def make(sample_id, pred, gt, coarse=None, plural=(), stuff=()):
        def bits(rows):
            return np.array([[[pixel == '1' for pixel in row]] for row in rows])

        phrases = [
            Phrase(f'phrase {i}', plural=i in plural, isthing=i not in stuff)
            for i in range(len(gt))
        ]
        sample = GroundingSample(sample_id, phrases=phrases, gt_masks=bits(gt))
        coarse_masks = None if coarse is None else torch.from_numpy(bits(coarse))
        return GroundingPrediction(sample, torch.from_numpy(bits(pred)), coarse_masks)

    return make
