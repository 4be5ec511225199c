"""A recorded LLaVA-NeXT: its folder is read back by transformers, its processor knows the tiles."""

import json
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoConfig

from flmm.apis.golden.families.llava_next import FAMILY
from flmm.utils.tensor_io import load_safetensors_file

CASE = json.loads(
    (Path(__file__).parents[3] / 'data/f_lmm_llava_next/case.json').read_text(encoding='utf-8')
)


def test_the_folder_is_that_of_a_real_repository(tmp_path):
    weights = {'llava.image_newline': torch.ones(64), 'mask_head.x': torch.ones(1)}
    FAMILY.write_lmm(tmp_path, CASE, weights)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.architectures == ['LlavaNextForConditionalGeneration']
    assert config.image_grid_pinpoints == CASE['image_grid_pinpoints']
    assert config.text_config.model_type == 'mistral'
    assert (config.text_config.pad_token_id, config.image_token_index) == (399, 398)
    assert config.vision_config.image_size == 84
    assert list(load_safetensors_file(tmp_path / 'model.safetensors')) == ['image_newline']


def test_the_processor_has_the_recorded_sizes():
    processor = FAMILY.image_processor(CASE)
    tensors = processor(Image.new('RGB', (80, 150)))
    # 84 x 168 is the best of the pinpoints for 80 x 150: one squashed view and 1 x 2 tiles.
    assert tensors.tensors['pixel_values'].shape == (3, 3, 84, 84)
    coarse, fine = tensors.grids
    # Cells of 14 pixels; two tiles one above the other.
    assert (tuple(coarse.shape), tuple(fine.shape)) == ((6, 6), (12, 6))


def test_the_coarse_grid_covers_the_image_as_in_the_release():
    assert FAMILY.system == {'coarse_covers': 'image'}
