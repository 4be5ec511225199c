"""Broken files of the evaluation tasks: a typed error that names the file, or a counted skip."""

import copy
import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from flmm.datasets import GranDfDataset, GRefCOCODataset, ReasonSegDataset
from flmm.datasets.transforms import LoadImage, LoadMasks
from flmm.datasets.viscot import VisCoTDataset
from flmm.structures import GroundingSample, SkippedSample
from flmm.utils.errors import FLMMError
from flmm.utils.masks import encode_rle

MASK = np.zeros((6, 8), bool)
MASK[1:4, 2:6] = True
RUNS = encode_rle(MASK)
SQUARE = [[2, 1, 6, 1, 6, 4, 2, 4]]
INSTANCES = {
    'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 6, 'width': 8}],
    'annotations': [
        {'id': 5, 'image_id': 1, 'segmentation': SQUARE, 'bbox': [2, 1, 4, 3], 'iscrowd': 0},
        {'id': 6, 'image_id': 1, 'segmentation': RUNS, 'bbox': [2, 1, 4, 3], 'iscrowd': 0},
    ],
}
REFS = [
    {'ref_id': 1, 'ann_id': [5, 6], 'image_id': 1, 'split': 'val', 'sentences': [{'raw': 'both'}]},
    {'ref_id': 2, 'ann_id': [-1], 'image_id': 1, 'split': 'val', 'sentences': [{'raw': 'none'}]},
]
QUESTION = {
    'shapes': [{'label': 'target', 'points': [[1, 1], [5, 1], [5, 4]]}],
    'text': ['what is it'],
    'is_sentence': True,
}
CAPTIONS = {
    'images': [{'id': 1, 'file_name': 'a.jpg'}],
    'annotations': [{'image_id': 1, 'caption': 'a cat on grass', 'labels': ['a cat', 'grass']}],
}
MASKS = {
    'images': [{'id': 1, 'file_name': 'a.jpg'}],
    'annotations': [{'image_id': 1, 'segmentation': RUNS}, {'image_id': 1, 'segmentation': SQUARE}],
}
TRAINING = [
    {
        'file_name': 'a.jpg',
        'caption': 'a cat',
        'groundings': {'cat': {'token_positives': [2, 5], 'rle_masks': [RUNS]}},
    }
]
VISCOT = [
    {
        'image': ['a.jpg', 'a.jpg###[1, 1, 5, 4]'],
        'conversations': [
            {'from': 'human', 'value': '<image>\nWhat is it?'},
            {'from': 'gpt', 'value': '[0, 0, 1, 1]'},
            {'from': 'human', 'value': '<image>'},
            {'from': 'gpt', 'value': 'a cat'},
        ],
    }
]
FILES = {
    'instances.json': INSTANCES,
    'grefs.json': REFS,
    'reason/a.json': QUESTION,
    'captions.json': CAPTIONS,
    'masks.json': MASKS,
    'training.json': TRAINING,
    'viscot.json': VISCOT,
}


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tasks')
    for name, content in FILES.items():
        write(folder, name, content)
    for name in ('a.jpg', 'reason/a.jpg'):
        Image.new('RGB', (8, 6)).save(folder / name)
    return folder


def open_dataset(folder, name):
    """The dataset that reads a file."""
    root, steps = str(folder), [LoadImage(), LoadMasks()]
    path = {key: str(folder / key) for key in FILES}
    if name in ('instances.json', 'grefs.json'):
        return GRefCOCODataset(path['instances.json'], path['grefs.json'], root, pipeline=steps)
    if name == 'reason/a.json':
        return ReasonSegDataset(str(folder / 'reason'), steps)
    if name in ('captions.json', 'masks.json'):
        return GranDfDataset(path['masks.json'], root, path['captions.json'], steps)
    if name == 'training.json':
        return GranDfDataset(path['training.json'], root, pipeline=steps)
    return VisCoTDataset(path['viscot.json'], root, [LoadImage()])


def read_all(folder, name):
    """What a file gives: samples and skips, or the error that stops it."""
    try:
        dataset = open_dataset(folder, name)
        problems = list(dataset.problems())
        items = [dataset[i] for i in range(len(dataset))]
    except FLMMError as error:
        assert str(folder) in str(error)
        return [error]
    assert all(isinstance(problem, FLMMError) for problem in problems)
    assert all(isinstance(item, (GroundingSample, SkippedSample)) for item in items)
    return [*problems, *items]


@pytest.mark.parametrize('name', FILES)
def test_whole_files_have_no_problem(tree, name):
    assert all(isinstance(item, GroundingSample) for item in read_all(tree, name))


junk = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6),
    st.sampled_from(['../../etc/passwd', '/etc/passwd', 'a\0b', 10**400, [], {}, [[]], [{}]]),
    st.lists(st.floats(), max_size=5), st.just([[0.0, 1e9] * 4]), st.just([[float('nan')] * 8]),
    st.just({'size': [6, 8], 'counts': [1, -1, 48]}), st.just({'size': [9**9, 9**9], 'counts': ''}),
)  # fmt: skip


def replace_somewhere(content, steps, value):
    """Walk down by the steps and put the value there."""
    place = content
    for number, step in enumerate(steps, start=1):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = keys[step % len(keys)]
        if not isinstance(place[key], (dict, list)) or number == len(steps):
            place[key] = value
            return
        place = place[key]


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(FILES)), st.lists(st.integers(0, 9), min_size=1, max_size=7), junk)
def test_junk_anywhere_is_an_error_or_a_skip(tree, name, steps, value):
    content = copy.deepcopy(FILES[name])
    replace_somewhere(content, steps, value)
    write(tree, name, content)
    started = time.process_time()
    try:
        read_all(tree, name)
    finally:
        write(tree, name, FILES[name])
    assert time.process_time() - started < 1


def changed(content, change):
    content = copy.deepcopy(content)
    change(content)
    return content


def put_runs(counts):
    return lambda content: content['annotations'][1]['segmentation'].update(counts=counts)


def twice(records):
    return lambda content: content[records].append({**content[records][0], 'file_name': 'b.jpg'})


@pytest.mark.parametrize(
    ('name', 'change', 'told'),
    [
        ('grefs.json', lambda c: c[0].update(ann_id=[77]), '77'),
        ('grefs.json', lambda c: c[0].update(ann_id=[5, -1]), '-1'),
        ('grefs.json', lambda c: c[0].update(image_id=9), 'image'),
        ('grefs.json', lambda c: c.append(dict(c[0])), 'occurs twice'),
        ('instances.json', lambda c: c['annotations'][0].update(bbox=[0, 0, -1, 1]), 'negative'),
        ('instances.json', lambda c: c['annotations'][0].update(bbox=[0, 0, 1, None]), 'box'),
        ('instances.json', put_runs([1]), 'malformed'),
        ('instances.json', put_runs([-1, 49]), 'malformed'),
        ('instances.json', lambda c: c['annotations'][0].update(segmentation=[[1, 2]]), 'polygon'),
        ('instances.json', twice('images'), 'two different entries'),
        ('instances.json', twice('annotations'), 'two different entries'),
        ('reason/a.json', lambda c: c['shapes'][0].update(points=[[0, 1e8]]), 'far outside'),
        ('captions.json', lambda c: c['annotations'][0].update(image_id=9), '9'),
        ('captions.json', twice('images'), 'two different entries'),
        ('masks.json', twice('images'), 'two different entries'),
        ('captions.json', lambda c: c['annotations'][0]['labels'].pop(), '1 phrases but 2 masks'),
        ('masks.json', lambda c: c['annotations'][0].update(image_id=9), '2 phrases but 1 masks'),
        ('viscot.json', lambda c: c[0]['image'].__setitem__(1, 'a.jpg###[5, 1, 1, 4]'), 'box'),
        ('viscot.json', lambda c: c[0]['image'].__setitem__(0, '../a.jpg'), '..'),
        ('viscot.json', lambda c: c[0]['image'].__setitem__(0, 'gone.jpg'), 'gone.jpg'),
    ],
)  # fmt: skip
def test_a_problem_is_told_before_the_work_and_skipped_where_asked(tree, name, change, told):
    write(tree, name, changed(FILES[name], change))
    try:
        found = read_all(tree, name)
    finally:
        write(tree, name, FILES[name])
    assert any(isinstance(item, FLMMError) and told in str(item) for item in found), found


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('text', ['', '[]', '{}', '3', '[[]]', '{"images": 3}', '[' * 10**5])
def test_files_that_are_something_else_are_typed_errors(tree, name, text):
    (tree / name).write_text(text)
    try:
        found = read_all(tree, name)
    finally:
        write(tree, name, FILES[name])
    assert found and not any(isinstance(item, GroundingSample) for item in found)
