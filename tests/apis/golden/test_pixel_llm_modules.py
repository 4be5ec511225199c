"""That all is reproduced stands in test_pixel_llm_cases.py; here, that all is compared."""

from pathlib import Path

import numpy as np
import pytest

from flmm.apis.golden.pixel_llm_modules import ModulesCase, check_modules
from flmm.models import flax_weights as fw
from flmm.models.flax_weights import read_npz
from flmm.models.point_heads import MLPPointHead
from flmm.utils.safe_io import load_json

DATA = Path(__file__).parents[2] / 'data' / 'pixel_llm'
#: What the modules were given, besides noise.
INPUTS = {
    'text_decoder/tokens', 'text_decoder/context', 'point_loss/pred', 'point_loss/gt',
    'point_loss/pred_valid', 'point_loss/gt_valid', 'text_loss/gt', 'text_loss/mask',
    'sam_mask_loss/gt_valid', 'sam_mask_loss/padding_mask', 'geom/pts', 'geom/pts_valid',
    'token_mask/tokens', 'preprocess/padding_mask',
}  # fmt: skip


@pytest.fixture
def case():
    keys = load_json(DATA / 'modules_keys.json')
    return ModulesCase(keys['seed'], keys['config'], keys['keys'], read_npz(DATA / 'modules.npz'))


def spoiled(array):
    """The array with another value in its last place."""
    array = np.array(array)
    last = array.reshape(-1)[-1:]
    last[...] = ~last if array.dtype == bool else last + 0.01 * np.abs(array).max() + 0.01
    return array


def test_every_recorded_output_is_compared_in_all_its_places(case):
    outputs = {n for n in case.want if n not in INPUTS and not n.startswith('full_model/')}
    case.want = {n: spoiled(v) if n in outputs else v for n, v in case.want.items()}
    results = check_modules(case)
    assert {result.name for result in results if not result.passed} == outputs
    assert len(results) == len(outputs)


def test_what_was_not_recorded_is_left_out(case):
    geometry = {name: array for name, array in case.want.items() if name.startswith('geom/')}
    case.want = {**geometry, 'full_model/point_loss': np.array(0.0)}
    results = check_modules(case)
    assert {result.name for result in results} == set(geometry) - INPUTS
    assert all(result.passed for result in results)


def test_weights_must_fit_the_module(case):
    shapes = case.shapes['point_predictor_default']
    hidden = shapes['mlp/layers.0/kernel'][1]
    head = MLPPointHead(case.sizes['C'] + 1, hidden_channels=hidden)
    with pytest.raises(RuntimeError, match='size mismatch|Missing key|Unexpected key'):
        case.fill(head, 'point_predictor_default', fw.POINT_HEAD)
