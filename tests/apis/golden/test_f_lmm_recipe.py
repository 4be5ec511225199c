"""Weights of recorded F-LMM cases are a function of seed, name and shape, checked by their sums."""

import math

import pytest
import torch

from flmm.apis.golden.f_lmm_recipe import recipe_tensor, recipe_weights, sam_config


def statistics(key, shape):
    values = recipe_tensor(key, shape, seed=3)
    return float(values.mean()), float(values.std())


@pytest.mark.parametrize(
    ('key', 'shape', 'mean', 'std'),
    [
        ('text_layer_weights', [4000], 1.0, 0.5),
        ('sam.positional_encoding_gaussian_matrix', [2, 2000], 0.0, 1.0),
        ('a.norm.weight', [4000], 1.0, 0.1),
        ('a.norm.bias', [4000], 0.0, 0.1),
        # One over the square root of the inputs: 16 of a linear layer, 4 x 3 x 3 of a convolution.
        ('a.linear.weight', [250, 16], 0.0, 0.25),
        ('a.conv.weight', [100, 4, 3, 3], 0.0, 1 / 6),
        # Of a position embedding the channels, not the positions, count.
        ('vision.position_embedding.weight', [1000, 4], 0.0, 0.5),
        ('sam.pos_embed', [1, 100, 10, 4], 0.0, 0.5),
    ],
)
def test_each_kind_of_weight_has_its_mean_and_spread(key, shape, mean, std):
    found = statistics(key, shape)
    # 4000 values: four standard errors of the mean, and of the spread.
    assert found[0] == pytest.approx(mean, abs=4 * std / math.sqrt(3600))
    assert found[1] == pytest.approx(std, rel=0.06)


def test_the_name_and_the_seed_decide():
    first = recipe_tensor('a', [3], 1)
    assert torch.equal(first, recipe_tensor('a', [3], 1))
    assert not torch.equal(first, recipe_tensor('b', [3], 1))
    assert not torch.equal(first, recipe_tensor('a', [3], 2))


def keys(total_error=0.0):
    values = recipe_tensor('w', [2, 3], 5).double()
    return {
        '_comment': 'left out',
        'w': [[2, 3], 'float32', 0.0, float(values.sum()) + total_error, float(values.abs().sum())],
        'unchecked': [[2], 'float32', 0.0, None, None],
    }


def test_a_sum_that_is_not_the_recorded_one_is_an_error():
    assert set(recipe_weights(keys(), 5)) == {'w', 'unchecked'}
    with pytest.raises(ValueError, match='w: recipe gives the sum'):
        recipe_weights(keys(total_error=1e-3), 5)


def test_sizes_of_sam_reach_the_three_parts():
    config = sam_config(
        {
            'sam': {
                'prompt_embed_dim': 64,
                'image_size': 256,
                'encoder_embed_dim': 32,
                'encoder_depth': 2,
                'encoder_num_heads': 4,
                'encoder_global_attn_indexes': [1],
            }
        }
    )
    assert config['prompt_encoder_config'] == {'hidden_size': 64, 'image_size': 256}
    assert config['mask_decoder_config'] == {'hidden_size': 64}
    vision = config['vision_config']
    # A position has sine and cosine of half the channels.
    assert (vision['num_pos_feats'], vision['output_channels'], vision['hidden_size']) == (
        32,
        64,
        32,
    )
