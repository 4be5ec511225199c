"""The untrained tiny SAM: reproducible, and wide enough a signal at the start."""

import pytest
import torch
from transformers import SamModel

from flmm.models.mask_refiners.tiny_sam import write_untrained_tiny_sam


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sam')
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    write_untrained_tiny_sam(folder, seed=1)
    # The caller's random numbers go on as if nothing had been drawn.
    assert torch.rand(3).equal(expected)
    return folder


def test_a_seed_always_gives_the_same_file(folder, tmp_path):
    write_untrained_tiny_sam(tmp_path / 'same', seed=1)
    write_untrained_tiny_sam(tmp_path / 'other', seed=2)
    file = 'model.safetensors'
    assert (tmp_path / 'same' / file).read_bytes() == (folder / file).read_bytes()
    assert (tmp_path / 'other' / file).read_bytes() != (folder / file).read_bytes()


def test_weights_are_drawn_by_what_a_layer_reads(folder):
    model = SamModel.from_pretrained(folder)
    block = model.vision_encoder.layers[0]
    # Deviation 1 / sqrt(inputs): 96 and 384 channels, 3 * 8 * 8 numbers of a patch, and 96 channels
    # of the one pixel that a transposed convolution reads.
    for weight, inputs in (
        (block.mlp.lin1.weight, 96),
        (block.mlp.lin2.weight, 384),
        (model.vision_encoder.patch_embed.projection.weight, 192),
        (model.mask_decoder.upscale_conv1.weight, 96),
    ):
        assert weight.std().item() == pytest.approx(inputs**-0.5, rel=0.05)
    # Positions at the scale of 1, the same ones for image and prompts.
    matrix = model.shared_image_embedding.positional_embedding
    assert matrix.std().item() == pytest.approx(1, rel=0.25)
    assert matrix.equal(model.prompt_encoder.shared_embedding.positional_embedding)
