"""Outputs of decoder layers are those that transformers gives, at the tokens asked for."""

import torch
from transformers import LlamaConfig, LlamaModel

from flmm.models.lmms.hidden_states import rows_at, watch_hidden_states


def test_layers_are_shown_as_transformers_counts_them():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=8, num_hidden_layers=3,
        num_attention_heads=2,
    )  # fmt: skip
    decoder = LlamaModel(config).eval()
    ids = torch.tensor([[1, 2, 3, 4]])
    seen = {}
    with torch.no_grad():
        with watch_hidden_states(decoder, seen.__setitem__):
            wanted = decoder(ids, output_hidden_states=True).hidden_states
        assert sorted(seen) == [0, 1, 2]
        for layer, states in seen.items():
            # The embedding comes first there; the last one is after the final norm.
            assert torch.equal(states, wanted[layer + 1])
        seen.clear()
        decoder(ids)
    assert seen == {}


def test_rows_are_those_of_each_sample_s_own_queries():
    states = torch.arange(2 * 3 * 2.0).view(2, 3, 2)
    found = rows_at(states, torch.tensor([[2, 0], [1, 1]]))
    assert found.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
