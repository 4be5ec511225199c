import importlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import flmm.apis.golden as golden
from flmm.apis.golden import GoldenResult, check_tree
from flmm.utils.errors import FLMMError

RECORDED = Path(__file__).parents[2] / 'data/f_lmm_metrics'


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, 'HANDLERS', ('flmm.apis.golden.metric_cases',))
    shutil.copytree(RECORDED, tmp_path / 'b/metrics')
    (tmp_path / 'a_next').mkdir()
    (tmp_path / 'a_next/case.json').write_text(json.dumps({'lmm': 'llava-next'}))
    (tmp_path / 'a_next/inner').mkdir()
    (tmp_path / 'a_next/inner/more.json').write_text('{}')
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/model.npz').write_bytes(b'')
    (tmp_path / 'text').mkdir()
    (tmp_path / 'text/README.md').write_text('nothing recorded')
    return tmp_path


def test_cases_are_found_in_a_tree_and_unknown_ones_named(tree):
    items = list(check_tree(tree))
    assert [(item.path.name, item.kind, item.covered) for item in items] == [
        ('a_next', 'llava-next', False),
        ('metrics', 'metric_cases', True),
        ('other', 'model.npz', False),
    ]
    assert all(result.passed for result in items[1].results)


def test_one_case_can_be_named_directly(tree):
    [item] = check_tree(tree / 'b/metrics')
    assert len(item.results) == 60


def test_a_handler_that_breaks_is_a_failed_line_and_the_rest_goes_on(tree):
    (tree / 'b/metrics/inputs.npz').write_bytes(b'not a zip')
    shutil.copytree(RECORDED, tree / 'c')
    broken, whole = [item for item in check_tree(tree) if item.covered]
    [result] = broken.results
    assert (result.name, result.passed) == ('check', False)
    assert result.note
    assert all(isinstance(item, GoldenResult) and item.passed for item in whole.results)


def test_unreadable_json_is_a_failed_line(tree):
    (tree / 'b/metrics/golden.json').write_text('{')
    [item] = check_tree(tree / 'b/metrics')
    assert [result.name for result in item.results] == ['recognise']


def test_a_missing_folder_is_an_error(tree):
    with pytest.raises(FLMMError, match='nowhere'):
        list(check_tree(tree / 'nowhere'))


def test_a_handler_that_cannot_tell_does_not_hide_the_others(tree, monkeypatch):
    def break_down(folder):
        raise RuntimeError('confused')

    broken = SimpleNamespace(__name__='x.broken', recognise=break_down)
    real = importlib.import_module
    names = ('x.broken', 'flmm.apis.golden.metric_cases')
    monkeypatch.setattr(golden, 'HANDLERS', names)
    monkeypatch.setattr(
        importlib, 'import_module', lambda name: broken if name == 'x.broken' else real(name)
    )
    kinds = {item.path.name: item.kind for item in check_tree(tree)}
    assert kinds['metrics'] == 'metric_cases'
    assert kinds['other'] == 'broken'
