"""The builders' command line, on the toy world's files."""

import importlib.util
import json
from pathlib import Path

import pytest

from flmm.datasets.toy.build import ToySettings, build_toy_world

SPEC = importlib.util.spec_from_file_location(
    'build_pixel_llm', Path(__file__).parents[2] / 'tools/prepare_data/build_pixel_llm.py'
)
build_pixel_llm = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build_pixel_llm)


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy') / 'world'
    settings = ToySettings(
        num_train=3, num_val=2, formats=('localized_narratives', 'visual_genome')
    )
    build_toy_world(root, settings, quiet=True)
    return root


def run(*arguments):
    return build_pixel_llm.main([*map(str, arguments), '--quiet'])


def test_narratives_of_the_toy_world_are_all_usable(toy, tmp_path, capsys):
    folder = toy / 'localized_narratives'
    source = folder / 'coco_train_localized_narratives.jsonl'
    arguments = ('narratives', tmp_path / 'out', source, '--images', folder / 'train2017')
    assert run(*arguments) == 0
    line = capsys.readouterr().out
    assert '"narratives": 3' in line and '"no_image": 0' in line
    # Again: complete, and the same answer.
    assert run(*arguments) == 0 and capsys.readouterr().out == line
    assert run('verify', tmp_path / 'out') == 0
    assert run('verify', tmp_path / 'typo') == 2 and not (tmp_path / 'typo').exists()
    capsys.readouterr()
    (tmp_path / 'out' / source.name).write_text('')
    assert run('verify', tmp_path / 'out') == 1
    assert source.name in capsys.readouterr().err


def test_the_genome_becomes_what_grit_made_of_it(toy, tmp_path):
    source = toy / 'visual_genome/train'
    ids = [entry['image_id'] for entry in json.loads((source / 'image_data.json').read_text())]
    splits = tmp_path / 'splits.json'
    splits.write_text(json.dumps({'train': ids}))
    files = (source / 'region_descriptions.json', source / 'image_data.json', splits)
    assert run('genome', tmp_path / 'out', *files) == 0
    made = json.loads((tmp_path / 'out/train.json').read_text())
    expected = json.loads((toy / 'visual_genome/train.json').read_text())
    size = ('id', 'file_name', 'width', 'height')
    assert made['images'] == [{key: e[key] for key in size} for e in expected['images']]
    keep = ('id', 'image_id', 'bbox', 'area', 'caption', 'category_id', 'iscrowd')
    assert made['annotations'] == [
        {key: entry[key] for key in keep} for entry in expected['annotations']
    ]


def test_files_of_one_name_do_not_take_each_other_s_place(tmp_path, capsys):
    item = {'image_id': 1, 'width': 9, 'height': 9, 'bbox': [1, 1, 3, 3]}
    for name in ('refcoco', 'refcocog'):
        (tmp_path / name).mkdir()
        content = {'val': [{**item, 'expressions': [f'of {name}']}]}
        (tmp_path / name / 'instances.json').write_text(json.dumps(content))
    both = [tmp_path / name / 'instances.json' for name in ('refcoco', 'refcocog')]
    out, options = tmp_path / 'out', ('--source', 'coco')
    assert run('uninext', out, both[0], *options) == 0
    for sources in (both, both[1:]):
        assert run('uninext', out, *sources, *options) == 2
        assert 'would write over' in capsys.readouterr().err
        made = json.loads((out / 'val_coco.json').read_text())
        assert [image['caption'] for image in made['images']] == ['of refcoco']
    assert run('uninext', tmp_path / 'other', both[1], *options) == 0


def test_errors_name_the_file(tmp_path, capsys):
    assert run('mdetr', tmp_path / 'out', tmp_path / 'none.json') == 2
    assert 'none.json' in capsys.readouterr().err
    (tmp_path / 'a.tfrecord').write_bytes(b'no record')
    assert run('records', tmp_path / 'out', tmp_path / 'a.tfrecord') == 2
    assert 'a.tfrecord' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run('genome', tmp_path / 'out', tmp_path / 'none.json')
