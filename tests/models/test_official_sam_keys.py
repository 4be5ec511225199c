"""Names of SAM-HQ's and SAM 2's weights; whole files are read in test_original_files."""

import pytest

from flmm.models.official_sam_keys import SAM2_POINTS, sam2_keys, sam_hq_keys

GAUSSIAN = 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'


@pytest.mark.parametrize(
    'official, expected',
    [
        ('mask_decoder.hf_token.weight', 'mask_decoder.hq_token.weight'),
        ('mask_decoder.hf_mlp.layers.1.bias', 'mask_decoder.hq_mask_mlp.layers.0.bias'),
        ('mask_decoder.hf_mlp.layers.2.bias', 'mask_decoder.hq_mask_mlp.proj_out.bias'),
        ('mask_decoder.compress_vit_feat.3.weight', 'mask_decoder.compress_vit_conv2.weight'),
        ('mask_decoder.iou_token.weight', 'mask_decoder.iou_token.weight'),
    ],
)
def test_sam_hq(official, expected):
    assert sam_hq_keys(official) == (expected,)


@pytest.mark.parametrize(
    'official, expected',
    [
        ('no_mem_embed', 'no_memory_embedding'),
        ('image_encoder.trunk.pos_embed', 'vision_encoder.backbone.pos_embed'),
        (
            'image_encoder.trunk.blocks.12.norm2.weight',
            'vision_encoder.backbone.blocks.12.layer_norm2.weight',
        ),
        (
            'image_encoder.trunk.blocks.3.mlp.layers.1.bias',
            'vision_encoder.backbone.blocks.3.mlp.proj_out.bias',
        ),
        ('image_encoder.neck.convs.2.conv.bias', 'vision_encoder.neck.convs.2.bias'),
        (
            'sam_mask_decoder.transformer.layers.1.mlp.layers.0.weight',
            'mask_decoder.transformer.layers.1.mlp.proj_in.weight',
        ),
        (
            'sam_mask_decoder.transformer.layers.0.self_attn.out_proj.bias',
            'mask_decoder.transformer.layers.0.self_attn.o_proj.bias',
        ),
    ],
)
def test_sam2(official, expected):
    assert sam2_keys(official) == (expected,)


def test_four_points_form_one_table_and_positions_are_kept_twice():
    assert {sam2_keys(name) for name in SAM2_POINTS} == {('prompt_encoder.point_embed.weight',)}
    assert len(SAM2_POINTS) == 4
    twice = (
        'shared_image_embedding.positional_embedding',
        'prompt_encoder.shared_embedding.positional_embedding',
    )
    assert sam_hq_keys(GAUSSIAN) == sam2_keys(f'sam_{GAUSSIAN}') == twice


@pytest.mark.parametrize('name', ['memory_encoder.fuser.x', 'maskmem_tpos_enc', 'obj_ptr_proj.w'])
def test_the_video_memory_has_no_place(name):
    assert sam2_keys(name) == ()
