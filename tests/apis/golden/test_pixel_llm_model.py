"""That all is reproduced stands in test_pixel_llm_cases.py; here, that all is compared."""

from pathlib import Path

import numpy as np
import pytest

from flmm.apis.golden.pixel_llm_model import _numbers, check_box_decoder, check_full_model
from flmm.apis.golden.pixel_llm_modules import ModulesCase
from flmm.models.flax_weights import read_npz
from flmm.utils.safe_io import load_json

pytest.importorskip('timm')
DATA = Path(__file__).parents[2] / 'data' / 'pixel_llm'


@pytest.fixture(scope='module')
def case():
    keys = load_json(DATA / 'modules_keys.json')
    return ModulesCase(keys['seed'], keys['config'], keys['keys'], read_npz(DATA / 'modules.npz'))


def failed(results):
    return {result.name for result in results if not result.passed}


def moved(array):
    """By a hundredth of the largest value, and whole numbers to others."""
    return array + (1 if array.dtype.kind == 'i' else 0.01 * np.abs(array).max())


def test_every_output_of_the_full_model_is_compared(case):
    inputs = {f'full_model/{name}' for name in ('gt_text_tokens', 'prompt_boxes', 'padding_mask')}
    outputs = {name for name in case.want if name.startswith('full_model/')} - inputs
    want = {**case.want, **{name: moved(case.want[name]) for name in outputs}}
    results = check_full_model(ModulesCase(case.seed, case.sizes, case.shapes, want))
    assert failed(results) == outputs and len(results) == len(outputs)


@pytest.fixture(scope='module')
def boxes():
    return load_json(DATA / 'box_decoder_keys.json'), read_npz(DATA / 'box_decoder.npz')


def test_heat_maps_boxes_detections_and_matches_are_compared(boxes):
    keys, want = boxes
    # Of the classes there is one; the number of detections says how many rows are read.
    moved_all = {name: moved(array) for name, array in want.items()}
    results = check_box_decoder(keys, {**moved_all, 'num_detections': want['num_detections']})
    compared = {result.name.removesuffix('/0') for result in results}
    assert compared == set(want) - {'detection_classes'}
    assert failed(results) == {result.name for result in results} - {'num_detections/0'}


def test_a_detection_too_few_is_noticed(boxes):
    keys, want = boxes
    results = check_box_decoder(keys, {**want, 'num_detections': want['num_detections'] - 1})
    assert failed(results) == {'num_detections/0', 'detection_boxes/0', 'detection_scores/0'}


def test_tuples_are_read_without_running_them():
    assert _numbers('(8, 16)') == (8, 16) and _numbers('(1024,)') == (1024,)
    with pytest.raises(ValueError, match='invalid literal'):
        _numbers('(__import__("os"),)')
