"""RefCOCO/+/g of a scene by hand, in the layout of the refer release."""

import json

import numpy as np
import pytest
from toy_by_hand import COCO_BOXES, KINDS, scene_by_hand

from flmm.datasets.toy.writers.refcoco import DATASETS, RefCocoWriter
from flmm.utils.safe_io import load_refs_pickle


@pytest.fixture
def root(tmp_path):
    writer = RefCocoWriter(tmp_path)
    for split, image_id in (('train', 7), ('test', 8), ('talk', 9)):
        writer.add(split, image_id, scene_by_hand(), np.random.default_rng(1))
    writer.finish()
    return tmp_path


def refs_of(root, name):
    return load_refs_pickle(root / name / f'refs({DATASETS[name][0]}).p')


def test_the_three_sets_share_pictures_and_boxes(root):
    contents = [json.loads((root / name / 'instances.json').read_text()) for name in DATASETS]
    assert contents[0] == contents[1] == contents[2]
    assert [item['bbox'] for item in contents[0]['annotations']] == COCO_BOXES * 2
    names = [image['file_name'] for image in contents[0]['images']]
    assert names == ['COCO_train2014_000000000007.jpg', 'COCO_train2014_000000000008.jpg']
    assert all((root / 'train2014' / name).is_file() for name in names)


@pytest.mark.parametrize('name', DATASETS)
def test_references_name_objects_of_their_split(root, name):
    refs = refs_of(root, name)
    assert refs and [ref['ref_id'] for ref in refs] == list(range(1, len(refs) + 1))
    for ref in refs:
        shape, _ = KINDS[ref['ann_id'] % 10 - 1]
        if ref['image_id'] == 7:
            assert ref['split'] == 'train'
        elif name == 'refcocog':
            assert ref['split'] == 'test'
        else:
            # Round things are testA, as people are in the real files.
            assert ref['split'] == ('testA' if shape in ('circle', 'ring') else 'testB')
    sentences = [sentence for ref in refs for sentence in ref['sentences']]
    assert [sentence['sent_id'] for sentence in sentences] == list(range(len(sentences)))
    assert all(s['raw'].lower() == s['sent'].lower() for s in sentences)


def test_plain_expressions_say_nothing_of_places(root):
    words = {word for ref in refs_of(root, 'refcoco+') for s in ref['sentences']
             for word in s['tokens']}  # fmt: skip
    assert not words & {'left', 'right', 'top', 'bottom', 'middle', 'leftmost'}
