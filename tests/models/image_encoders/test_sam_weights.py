"""The parts of one SAM in a system; sizes that differ are in test_encoders."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import SamModel

from flmm.models.image_encoders import load_sam
from flmm.models.prompt_encoders import LocationPromptEncoder

FOLDER = Path(__file__).resolve().parents[3] / 'checkpoints/tiny_sam'


@pytest.fixture(scope='module')
def sam():
    return SamModel.from_pretrained(FOLDER)


def test_a_prompt_encoder_gets_sams_positions_and_points(sam):
    prompts = LocationPromptEncoder(channels=96)
    other = nn.Linear(2, 2)
    before = other.weight.clone()
    # An encoder that is not SAM's is left alone.
    load_sam(str(FOLDER), other, prompts)
    own = sam.prompt_encoder
    for kind in range(4):
        assert prompts.point_embeddings[kind].weight.equal(own.point_embed[kind].weight)
    assert prompts.no_mask_embed.weight.equal(own.no_mask_embed.weight)
    assert prompts.not_a_point_embed.weight.equal(own.not_a_point_embed.weight)
    matrix = sam.shared_image_embedding.positional_embedding
    assert prompts.pe_layer.positional_encoding_gaussian_matrix.equal(matrix)
    assert other.weight.equal(before)


def test_a_mask_decoder_gets_sams(sam):
    decoder = type(sam.mask_decoder)(sam.config.mask_decoder_config)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    load_sam(str(FOLDER), mask_decoder=decoder)
    expected = sam.mask_decoder.state_dict()
    assert all(value.equal(expected[name]) for name, value in decoder.state_dict().items())


def test_a_prompt_encoder_of_another_width_is_refused():
    with pytest.raises(RuntimeError, match='size mismatch'):
        load_sam(str(FOLDER), prompt_encoder=LocationPromptEncoder(channels=32))
