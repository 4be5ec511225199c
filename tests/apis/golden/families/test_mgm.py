"""A recorded MiniGemini: its weights are sorted into three folders."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from flmm.apis.golden.families.mgm import FAMILY
from flmm.utils.tensor_io import load_safetensors_file

DATA = Path(__file__).parents[3] / 'data'
PLAIN, HD = (
    json.loads((DATA / name / 'case.json').read_text(encoding='utf-8'))
    for name in ('f_lmm_mgm', 'f_lmm_mgm_hd')
)
WEIGHTS = {
    'mgm.model.layers.0.x': torch.ones(1),
    'mgm.model.vision_tower.vision_tower.vision_model.y': torch.ones(2),
    'mgm.model.vision_tower_aux.vision_stem.z': torch.ones(3),
    'text_proj.weight': torch.ones(4),
}


def test_language_model_and_towers_have_repositories_of_their_own(tmp_path):
    FAMILY.write_lmm(tmp_path, PLAIN, WEIGHTS)
    found = {
        path.parent.name: list(load_safetensors_file(path))
        for path in tmp_path.rglob('*.safetensors')
    }
    assert found == {
        'mgm': ['model.layers.0.x'],
        'clip': ['vision_model.y'],
        # As open_clip names the ConvNeXt of timm.
        'convnext': ['visual.trunk.stem.z'],
    }
    config = json.loads((tmp_path / 'mgm/config.json').read_text())
    assert config['model_type'] == 'mgm' and config['image_size_aux'] == 192
    lmm = FAMILY.lmm(tmp_path, PLAIN)
    assert lmm['pretrained'].endswith('mgm')
    assert lmm['model_options']['mm_vision_tower'].endswith('clip')
    assert lmm['channel_order'] == 'layer_major'


def test_gemma_s_variant_has_a_name_of_its_own(tmp_path):
    case = {**PLAIN, 'text_config': {**PLAIN['text_config'], 'model_type': 'gemma'}}
    FAMILY.write_lmm(tmp_path, case, WEIGHTS)
    assert json.loads((tmp_path / 'mgm/config.json').read_text())['model_type'] == 'mgm_gemma'


@pytest.mark.parametrize(('case', 'grids', 'high'), [(PLAIN, 1, 192), (HD, 2, 384)])
def test_hd_reads_tiles_and_the_whole(case, grids, high):
    made = FAMILY.image_processor(case)(Image.new('RGB', (130, 90)))
    assert len(made.grids) == grids
    assert made.tensors['high_res_pixel_values'].shape[-2:] == (high, high)
