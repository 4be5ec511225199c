"""A linear layer and a norm, by hand."""

import pytest
import torch

from flmm.models.text_decoders import VisualProjection


@torch.no_grad()
def test_features_are_projected_and_then_normalised():
    for norm in (False, True):
        projection = VisualProjection(1, 2, norm=norm)
        projection.linear.weight.copy_(torch.tensor([[1.0], [3.0]]))
        projection.linear.bias.copy_(torch.tensor([0.0, 100.0]))
        found = projection(torch.tensor([[[10.0]], [[-50.0]]]))
        # 10 -> (10, 130); -50 -> (-50, -50), which is all mean.
        expected = [-1, 1, 0, 0] if norm else [10, 130, -50, -50]
        assert found.shape == (2, 1, 2)
        assert found.flatten().tolist() == pytest.approx(expected, abs=1e-4)
