"""GPT4RoI's released names."""

import pytest

from flmm.models.official_gpt4roi_keys import gpt4roi_key


@pytest.mark.parametrize(
    ('official', 'own'),
    [
        ('model.spi_module.mlvl_fuse.x', 'roi_extractor.mlvl_fuse.x'),
        ('spi_module.mlvl_fuse.x', 'roi_extractor.mlvl_fuse.x'),
        ('model.mm_projector.bias', 'lmm.model.model.multi_modal_projector.linear_1.bias'),
        # LLaVA saves the tower with one name more than transformers gives it today.
        ('model.vision_tower.vision_model.a', 'lmm.model.model.vision_tower.a'),
        ('vision_model.post_layernorm.bias', 'lmm.model.model.vision_tower.post_layernorm.bias'),
        ('model.layers.0.mlp.x', 'lmm.model.model.language_model.layers.0.mlp.x'),
        ('lm_head.weight', 'lmm.model.lm_head.weight'),
    ],
)
def test_each_part_has_its_place(official, own):
    assert gpt4roi_key(official) == own


def test_other_names_are_an_error():
    with pytest.raises(KeyError, match='text_model'):
        gpt4roi_key('text_model.x')
