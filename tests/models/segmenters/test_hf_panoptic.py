import json

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.models.segmenters import HFPanoptic
from flmm.structures import GroundingSample


@pytest.fixture(scope='module')
def mask2former(tmp_path_factory):
    """Folder of a random tiny Mask2Former on a tiny Swin."""
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    folder = tmp_path_factory.mktemp('mask2former')
    swin = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        out_features=['stage1', 'stage2', 'stage3', 'stage4'],
    )
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=8,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=8,
        num_queries=5,
        num_labels=3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={'height': 64, 'width': 64}).save_pretrained(folder)
    return str(folder)


def test_a_mask2former_gives_a_map_of_the_size_that_is_asked_for(mask2former):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    # Its weights are random: any confidence will do.
    segmenter = HFPanoptic(mask2former, (5, 7), 0.0, 0.0, 0.0)
    found = segmenter(GroundingSample('x', image=image))
    assert found.ids.shape == (5, 7) and np.issubdtype(found.ids.dtype, np.integer)
    assert all(0 <= one.label < 3 and one.id >= 1 for one in found.segments)
    assert set(np.unique(found.ids)) - {0, -1} <= {one.id for one in found.segments}
    again = segmenter(GroundingSample('x', image=image))
    assert np.array_equal(found.ids, again.ids)


@pytest.fixture(scope='module')
def eomt(tmp_path_factory):
    """Folder of a random tiny EoMT."""
    from transformers import EomtConfig, EomtForUniversalSegmentation, EomtImageProcessor

    folder = tmp_path_factory.mktemp('eomt')
    config = EomtConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_blocks=1,
        image_size=32,
        patch_size=8,
        num_queries=4,
        num_upscale_blocks=1,
        num_register_tokens=1,
        num_labels=3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        EomtForUniversalSegmentation(config).save_pretrained(folder)
    size = {'shortest_edge': 32, 'longest_edge': 32}
    EomtImageProcessor(size=size, do_pad=True).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope='module')
def oneformer(tmp_path_factory, mask2former, tiny_tokenizer):
    """Folder of a random tiny OneFormer on a tiny Swin, its list of classes beside it."""
    from transformers import (
        AutoConfig,
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        OneFormerProcessor,
    )

    folder = tmp_path_factory.mktemp('oneformer')
    classes = {str(i): {'isthing': 1, 'name': name} for i, name in enumerate(('a', 'b', 'c'))}
    (folder / 'classes.json').write_text(json.dumps(classes))
    config = OneFormerConfig(
        backbone_config=AutoConfig.from_pretrained(mask2former).backbone_config,
        num_queries=5,
        num_labels=3,
        conv_dim=32,
        mask_dim=32,
        hidden_dim=32,
        encoder_feedforward_dim=8,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=8,
        task_seq_len=12,
        text_encoder_width=16,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=len(tiny_tokenizer),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = OneFormerForUniversalSegmentation(config)
        for name, parameter in model.named_parameters():
            if name.endswith('class_embed.bias'):
                parameter.data[-1] = -10  # at random, "no object" would win
        model.save_pretrained(folder)
    images = OneFormerImageProcessor(
        size={'shortest_edge': 64, 'longest_edge': 64},
        repo_path=str(folder),
        class_info_file='classes.json',
        num_text=1,
    )
    OneFormerProcessor(images, tiny_tokenizer, 12, 12).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize('family', ['eomt', 'oneformer'])
def test_other_families_give_the_same_kind_of_map(family, request):
    pretrained = request.getfixturevalue(family)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    found = HFPanoptic(pretrained, (5, 7), 0.0, 0.0, 0.0)(GroundingSample('x', image=image))
    assert found.ids.shape == (5, 7) and found.segments
    assert all(0 <= one.label < 3 and one.id >= 1 for one in found.segments)
    assert set(np.unique(found.ids)) - {0, -1} <= {one.id for one in found.segments}
    nothing = HFPanoptic(pretrained, (3, 3), threshold=1.1)(GroundingSample('x', image=image))
    assert nothing.segments == () and (nothing.ids <= 0).all()


def test_nothing_confident_is_an_empty_map(mask2former):
    sample = GroundingSample('x', image=Image.new('RGB', (20, 20)))
    found = HFPanoptic(mask2former, (3, 3), threshold=1.1)(sample)
    assert found.segments == () and (found.ids <= 0).all()


def test_what_its_maps_depend_on_is_its_identity():
    first, second = HFPanoptic('x'), HFPanoptic('x', threshold=0.6)
    assert first.identity == HFPanoptic('x').identity != second.identity
