"""Recorded training steps of F-LMM: which model they belong to, how parameters are compared."""

import json

import pytest
import torch

from flmm.apis.golden.f_lmm_training import _check_norms, _check_tensors, _model_case


def write_case(folder, **content):
    folder.mkdir()
    (folder / 'case.json').write_text(json.dumps(content))


def test_the_model_is_the_sibling_of_the_same_name_and_seed(tmp_path):
    steps = tmp_path / 'steps'
    steps.mkdir()
    write_case(tmp_path / 'a_other_name', lmm='llava-next', seed=7, case='B')
    write_case(tmp_path / 'b_named', lmm='llava-next', seed=7, case='A')
    write_case(tmp_path / 'c_other_seed', lmm='llava-next', seed=8, case='A')
    write_case(tmp_path / 'd_unknown', lmm='none of ours', seed=7, case='A')
    record = {'steps': [], 'case_A': {'seed': 7}}
    assert _model_case(steps, record).name == 'b_named'
    # Without a name that fits, the seed decides.
    (tmp_path / 'b_named/case.json').unlink()
    assert _model_case(steps, record).name == 'a_other_name'
    with pytest.raises(FileNotFoundError, match='case Z with seed 9'):
        _model_case(steps, {'case_Z': {'seed': 9}})


PARAMETERS = {
    'mask_head.conv_seg.weight': torch.tensor([3.0, 4.0], requires_grad=True),
    'text_layer_weights': torch.tensor([1.0], requires_grad=True),
}


def norms(**changed):
    recorded = {
        'mask_head.conv_seg.weight': {'norm': 5.0},
        'text_layer_weights': {'norm': 1.0},
    }
    return {name: {'norm': changed.get(name, row['norm'])} for name, row in recorded.items()}


def test_norms_of_all_parameters_are_one_line_and_ignored_ones_may_wander():
    assert _check_norms('after', PARAMETERS, norms(), set()).passed
    wrong = norms(text_layer_weights=1.01)
    result = _check_norms('after', PARAMETERS, wrong, set())
    # 1 / 1.01 is off by 0.0099, more than the tolerance of 0.001.
    assert not result.passed and result.max_abs == pytest.approx(1 - 1 / 1.01)
    assert _check_norms('after', PARAMETERS, wrong, {'text_layer_weights'}).passed


def test_only_the_recorded_tensors_of_a_step_are_compared():
    arrays = {
        'grad1/text_layer_weights': torch.tensor([1.0]).numpy(),
        'grad2/text_layer_weights': torch.tensor([9.0]).numpy(),
    }
    results = list(_check_tensors('grad1', PARAMETERS, arrays))
    assert [(r.name, r.passed) for r in results] == [('grad1/text_layer_weights', True)]
