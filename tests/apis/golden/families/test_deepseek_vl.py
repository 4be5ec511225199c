"""A recorded DeepSeek-VL: the release's layout of files, and pixels it normalises in the model."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flmm.apis.golden.families.deepseek_vl import FAMILY
from flmm.models.lmms.hybrid_image_processor import HybridImageProcessor
from flmm.models.lmms.image_processors import PadToSquareImageProcessor
from flmm.utils.tensor_io import load_safetensors_file

CASE = json.loads(
    (Path(__file__).parents[3] / 'data/f_lmm_deepseek_vl/case.json').read_text(encoding='utf-8')
)


def single_tower():
    """The recorded case as the smaller model has it: SigLIP's tower alone."""
    case = copy.deepcopy(CASE)
    low = case['vision_config']['params']['low_res_cfg']
    case['hybrid'] = False
    case['vision_config'] = {'cls': 'CLIPVisionTower', 'params': low}
    case['processor'] |= {'do_normalize': True, 'image_size': 384}
    return case


def test_the_folder_has_the_release_s_layout(tmp_path):
    FAMILY.write_lmm(tmp_path, CASE, {'deepseek_vl.a': torch.ones(1), 'mask_head.b': torch.ones(1)})
    config = json.loads((tmp_path / 'config.json').read_text())
    assert config['model_type'] == 'multi_modality'
    assert config['language_config'] == CASE['text_config']
    assert config['sam_model_config'] == CASE['sam_model_config']
    (token,) = json.loads((tmp_path / 'tokenizer.json').read_text())['added_tokens']
    assert token == {'content': '<image_placeholder>', 'id': 398}
    assert list(load_safetensors_file(tmp_path / 'model.safetensors')) == ['a']


def test_two_towers_have_the_hybrid_processor_and_one_has_the_plain_one():
    hybrid = FAMILY.image_processor(CASE)
    assert isinstance(hybrid, HybridImageProcessor)
    assert isinstance(FAMILY.image_processor(single_tower()), PadToSquareImageProcessor)


def test_pixels_of_the_large_tower_are_compared_before_their_normalisation():
    high = CASE['vision_config']['params']['high_res_cfg']
    recorded = np.full((1, 3, 2, 2), 0.5)
    mean, std = (torch.tensor(high[name]).view(1, 3, 1, 1) for name in ('pixel_mean', 'pixel_std'))
    normalised = (torch.full((1, 3, 2, 2), 0.5) - mean) / std
    inputs = SimpleNamespace(
        tensors={'pixel_values': torch.zeros(1), 'high_res_pixel_values': normalised}
    )
    (result,) = FAMILY.compare_inputs(inputs, CASE, {'pixel_values': recorded})
    assert result.passed
    inputs.tensors['high_res_pixel_values'] = normalised * 1.01
    (result,) = FAMILY.compare_inputs(inputs, CASE, {'pixel_values': recorded})
    assert not result.passed


def test_pixels_of_one_tower_are_compared_as_they_are():
    inputs = SimpleNamespace(tensors={'pixel_values': torch.full((1, 3, 2, 2), 0.25)})
    recorded = {'pixel_values': np.full((1, 3, 2, 2), 0.25)}
    (result,) = FAMILY.compare_inputs(inputs, single_tower(), recorded)
    assert result.passed


def test_a_hybrid_whose_fill_is_not_the_large_tower_s_mean_is_refused():
    case = copy.deepcopy(CASE)
    case['processor']['image_mean'] = [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match='large tower'):
        FAMILY.image_processor(case)
