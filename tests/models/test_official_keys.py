import json
from pathlib import Path

import pytest
import torch

from flmm.models.lmms import HFLMM
from flmm.models.mask_heads import UNetMaskHead
from flmm.models.mask_refiners import SAMRefiner
from flmm.models.official_keys import (
    f_lmm_keys,
    from_official_f_lmm,
    is_official_f_lmm,
    sam_keys,
)
from flmm.models.systems import FLMM

DATA = Path(__file__).parents[1] / 'data'
TRAINABLE = json.loads((DATA / 'f_lmm_llava' / 'trainable.json').read_text())


@pytest.fixture(scope='module')
def model(tiny_llava):
    """FLMM with the official U-Net and a SAM of the official depth where weights train."""
    return FLMM(
        lmm=dict(type=HFLMM, pretrained=str(tiny_llava)),
        mask_head=dict(type=UNetMaskHead, in_channels=12),
        mask_refiner=dict(
            type=SAMRefiner,
            config=dict(
                vision_config=dict(
                    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_dim=16
                )
            ),
        ),
    )


def test_official_trainable_names_are_ours_one_to_one(model):
    ours = [name for official in TRAINABLE for name in f_lmm_keys(official)]
    assert len(ours) == len(set(ours)) == len(TRAINABLE) == 192
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(ours) == trainable


def test_official_shapes_are_ours(model):
    keys = json.loads((DATA / 'f_lmm_llava' / 'keys.json').read_text())
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    for official in TRAINABLE:
        if not official.startswith('text_'):  # those follow the size of the LMM
            (name,) = f_lmm_keys(official)
            assert shapes[name] == keys[official][0], official


def test_what_an_official_checkpoint_holds_fits_the_model(model):
    recorded = json.loads((DATA / 'f_lmm_train' / 'golden.json').read_text())['checkpoint_keys']
    own = set(model.state_dict())
    assert {name for official in recorded for name in f_lmm_keys(official)} <= own


def test_every_weight_of_a_sam_has_a_name_in_ours():
    keys = json.loads((DATA / 'f_lmm_llava' / 'keys.json').read_text())
    official = [k.removeprefix('sam.model.') for k in keys if k.startswith('sam.model.')]
    names = [name for key in official for name in sam_keys(key)]
    assert len(names) == len(set(names)) == len(official) + 1  # one matrix is kept twice
    config = dict(
        vision_config=dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_dim=128)
    )
    assert set(names) == set(SAMRefiner(config=config).sam.state_dict())


def test_the_positional_matrix_goes_to_both_of_its_places():
    matrix = torch.ones(2, 3)
    renamed = from_official_f_lmm(
        {'sam.model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix': matrix}
    )
    assert sorted(renamed) == [
        'mask_refiner.sam.prompt_encoder.shared_embedding.positional_embedding',
        'mask_refiner.sam.shared_image_embedding.positional_embedding',
    ]
    assert all(tensor is matrix for tensor in renamed.values())


def test_official_checkpoints_are_told_from_ours(model):
    assert is_official_f_lmm(dict.fromkeys(TRAINABLE))
    assert not is_official_f_lmm(model.state_dict())
    assert f_lmm_keys('text_proj.weight') == ('text_proj.weight',)
    assert f_lmm_keys('mask_head.conv_seg.bias') == ('mask_head.conv_seg.bias',)
