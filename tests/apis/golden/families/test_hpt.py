"""A recorded HPT: three subfolders, the tower filled at the size it was published in."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flmm.apis.golden.families.hpt import FAMILY, base_tower
from flmm.utils.tensor_io import load_safetensors_file

CASE = json.loads(
    (Path(__file__).parents[3] / 'data/f_lmm_hpt/case.json').read_text(encoding='utf-8')
)
POSITIONS = 'vision_model.embeddings.position_embedding.weight'


def test_parts_lie_in_folders_of_their_own(tmp_path):
    weights = {'llm.a': torch.ones(1), 'projector.b': torch.ones(2), 'mask_head.c': torch.ones(3)}
    FAMILY.write_lmm(tmp_path, CASE, weights)
    assert list(load_safetensors_file(tmp_path / 'llm/model.safetensors')) == ['a']
    assert list(load_safetensors_file(tmp_path / 'projector/model.safetensors')) == ['b']
    config = json.loads((tmp_path / 'visual_encoder/config.json').read_text())
    assert config['model_type'] == 'clip_vision_model' and config['image_size'] == 84


def test_the_tower_has_as_many_positions_as_at_its_base_size(tmp_path):
    FAMILY.write_lmm(tmp_path, CASE, {})
    tower = load_safetensors_file(tmp_path / 'visual_encoder/model.safetensors')
    # 84 / 14 cells a side and the class token; the LMM itself reads 112 / 14.
    assert tower[POSITIONS].shape == (6 * 6 + 1, 64)
    assert torch.equal(tower[POSITIONS], base_tower(CASE)[f'visual_encoder.{POSITIONS}'])
    options = FAMILY.lmm(tmp_path, CASE)['model_options']
    assert options['image_size'] == 112
    pixels = FAMILY.image_processor(CASE)(Image.new('RGB', (20, 30))).tensors['pixel_values']
    assert pixels.shape == (1, 3, 112, 112)


def test_resized_positions_are_compared_where_they_were_recorded():
    class Inputs:
        tensors = {'pixel_values': torch.zeros(1, 3, 2, 2)}  # noqa: RUF012

    names = [r.name for r in FAMILY.compare_inputs(Inputs, CASE, {'pixel_values': np.zeros(1)})]
    assert names == ['pixel_values']
    arrays = {'interpolated_pos_embed': np.zeros((8 * 8 + 1, 64))}
    (result,) = FAMILY.compare_inputs(Inputs, CASE, arrays)
    assert result.name == 'interpolated_pos_embed' and not result.passed and not result.note
