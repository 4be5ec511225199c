"""A recorded LLaVA-1.5: read back by transformers, its image padded to a square."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoConfig

from flmm.apis.golden.families.llava import FAMILY, llava_settings
from flmm.utils.tensor_io import load_safetensors_file

CASE = json.loads(
    (Path(__file__).parents[3] / 'data/f_lmm_llava/case.json').read_text(encoding='utf-8')
)


def test_the_folder_is_that_of_a_real_repository(tmp_path):
    FAMILY.write_lmm(tmp_path, CASE, {'llava.a': torch.ones(2), 'sam.b': torch.ones(1)})
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.architectures == ['LlavaForConditionalGeneration']
    assert config.text_config.hidden_size == CASE['text_config']['hidden_size']
    assert config.vision_config.patch_size == CASE['vision_config']['patch_size']
    assert config.image_token_index == CASE['image_token_index']
    assert list(load_safetensors_file(tmp_path / 'model.safetensors')) == ['a']


def test_a_recorded_padding_token_reaches_the_language_model():
    settings = llava_settings({**CASE, 'pad_token_id': 17})
    assert settings['text_config']['pad_token_id'] == 17
    # The recorded case is not changed by it.
    assert CASE['text_config'].get('pad_token_id') != 17


def test_the_image_lies_in_the_middle_of_a_square():
    side = CASE['processor']['size']['shortest_edge']
    cells = side // CASE['vision_config']['patch_size']
    made = FAMILY.image_processor(CASE)(Image.new('RGB', (2 * side, side)))
    assert made.tensors['pixel_values'].shape == (1, 3, side, side)
    (view,) = made.grids
    assert tuple(view.shape) == (cells, cells)
    assert view.box_xyxy == pytest.approx((0, -side / 2, 2 * side, 1.5 * side), abs=1)
