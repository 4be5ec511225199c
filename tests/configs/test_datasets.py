from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


@pytest.mark.parametrize('name', ['png_refcoco', 'toy_png_refcoco'])
def test_a_fragment_names_the_official_splits(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    assert [d['name'] for d in config.train_datasets] == [
        'png_train',
        'refcoco',
        'refcoco_plus',
        'refcocog',
    ]
    assert {d.get('split', 'train') for d in config.train_datasets} == {'train'}
    assert {d['sentence'] for d in config.train_datasets[1:]} == {'random'}
    res = {key: d for key, d in config.test_datasets.items() if key != 'png'}
    assert list(res) == [
        *(f'{n}_{s}' for n in ('refcoco', 'refcoco_plus') for s in ('val', 'testA', 'testB')),
        'refcocog_val',
        'refcocog_test',
    ]
    assert {d['sentence'] for d in res.values()} == {'first'}
    assert res['refcocog_val']['split_file'].endswith('refcocog/refs(umd).p')
    assert res['refcoco_plus_val']['ann_file'].endswith('refcoco+/instances.json')
    assert all('pipeline' not in d for d in [*config.train_datasets, *res.values()])
    assert config.pretty_text


def test_the_toy_fragment_is_the_official_one_with_another_root():
    official = Config.fromfile(CONFIGS / 'png_refcoco.py').to_dict()
    toy = Config.fromfile(CONFIGS / 'toy_png_refcoco.py').to_dict()
    assert str(official).replace('data/coco', 'data/toy') == str(toy)
