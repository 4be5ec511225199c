"""Predictions do not share what they are given later."""

import torch

from flmm.structures import ConversationPrediction, GroundingPrediction, GroundingSample


def test_predictions_keep_their_notes_apart():
    sample = GroundingSample('a')
    masks = torch.zeros(0, 2, 2, dtype=torch.bool)
    first, second = GroundingPrediction(sample, masks), GroundingPrediction(sample, masks)
    first.meta['seen'] = 1
    assert second.meta == {}
    one, two = ConversationPrediction(sample), ConversationPrediction(sample)
    one.answers.append('yes')
    one.choices['a'], one.scores['a'] = 1, [0.5]
    assert (two.answers, two.choices, two.scores, two.meta) == ([], {}, {}, {})
