"""The files: real formats, consistent with each other, atomic, idempotent."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from flmm.datasets.toy.build import MANIFEST, ToyDataError, ToySettings, build_toy_world

SETTINGS = ToySettings(
    seed=7, num_train=6, num_val=4, num_talk=3, formats=('png', 'refcoco', 'llava')
)


@pytest.fixture(scope='module')
def toy_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy') / 'world'
    assert build_toy_world(root, SETTINGS, quiet=True)
    return root


def read_json(path):
    return json.loads(path.read_text())


def read_refs(path):
    # The file was written by the test itself a moment ago.
    return pickle.loads(path.read_bytes())


def test_panoptic_ids_areas_and_boxes_match_the_png(toy_root):
    content = read_json(toy_root / 'annotations/panoptic_val2017.json')
    for record in content['annotations']:
        path = toy_root / 'annotations/panoptic_val2017' / record['file_name']
        rgb = np.asarray(Image.open(path)).astype(int)
        ids = rgb @ np.array([1, 256, 65536])
        assert set(np.unique(ids)) == {segment['id'] for segment in record['segments_info']}
        for segment in record['segments_info']:
            mask = ids == segment['id']
            ys, xs = np.nonzero(mask)
            assert segment['area'] == mask.sum()
            assert segment['bbox'] == [
                xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1,
            ]  # fmt: skip


def test_narratives_point_to_existing_segments(toy_root):
    panoptic = read_json(toy_root / 'annotations/panoptic_train2017.json')
    known = {
        str(record['image_id']): {str(s['id']) for s in record['segments_info']}
        for record in panoptic['annotations']
    }
    narratives = read_json(toy_root / 'annotations/png_coco_train2017.json')
    assert len(narratives) == 6
    for entry in narratives:
        assert entry['caption'] == ' '.join(s['utterance'] for s in entry['segments'])
        for segment in entry['segments']:
            assert set(segment['segment_ids']) <= known[entry['image_id']]
            assert segment['noun'] == bool(segment['segment_ids'])


def test_instances_decode_to_their_areas(toy_root):
    coco = COCO(str(toy_root / 'annotations/instances_val2017.json'))
    for ann in coco.anns.values():
        assert coco.annToMask(ann).sum() == pytest.approx(ann['area'], rel=0.08)


@pytest.mark.parametrize(
    ('name', 'by', 'splits'),
    [
        ('refcoco', 'unc', {'train', 'val', 'testA', 'testB'}),
        ('refcoco+', 'unc', {'train', 'val', 'testA', 'testB'}),
        ('refcocog', 'umd', {'train', 'val', 'test'}),
    ],
)
def test_refs_have_every_official_split_and_valid_ids(toy_root, name, by, splits):
    refs = read_refs(toy_root / name / f'refs({by}).p')
    instances = read_json(toy_root / name / 'instances.json')
    anns = {ann['id']: ann for ann in instances['annotations']}
    assert {ref['split'] for ref in refs} == splits
    images = {image['id']: image['file_name'] for image in instances['images']}
    for ref in refs:
        assert anns[ref['ann_id']]['image_id'] == ref['image_id']
        assert ref['sent_ids'] == [sentence['sent_id'] for sentence in ref['sentences']]
        assert (toy_root / 'train2014' / images[ref['image_id']]).is_file()


def test_no_image_serves_two_splits(toy_root):
    for name, by in (('refcoco', 'unc'), ('refcocog', 'umd')):
        owner = {}
        for ref in read_refs(toy_root / name / f'refs({by}).p'):
            part = 'test' if ref['split'].startswith('test') else ref['split']
            assert owner.setdefault(ref['image_id'], part) == part


def test_conversations_alternate_and_show_the_image_once(toy_root):
    for entry in read_json(toy_root / 'llava/conversations_train.json'):
        values = [turn['value'] for turn in entry['conversations']]
        assert [turn['from'] for turn in entry['conversations']] == ['human', 'gpt'] * (
            len(values) // 2
        )
        assert values[0].startswith('<image>\n') and '<image>' not in ''.join(values[1:])
        assert (toy_root / 'llava' / entry['image']).is_file()


def test_a_second_build_does_nothing_and_the_same_seed_gives_the_same_files(toy_root, tmp_path):
    assert not build_toy_world(toy_root, SETTINGS, quiet=True)
    build_toy_world(tmp_path / 'again', SETTINGS, quiet=True)
    for path in toy_root.rglob('*'):
        if path.is_file():
            assert (
                path.read_bytes() == (tmp_path / 'again' / path.relative_to(toy_root)).read_bytes()
            )


def test_a_folder_with_something_else_is_not_replaced(tmp_path):
    (tmp_path / 'mine.txt').write_text('keep')
    with pytest.raises(ToyDataError, match=MANIFEST):
        build_toy_world(tmp_path, ToySettings(num_train=1, num_val=1), quiet=True)
    assert (tmp_path / 'mine.txt').read_text() == 'keep'


def test_other_settings_replace_a_toy_world(tmp_path):
    root = tmp_path / 'toy'
    build_toy_world(root, ToySettings(num_train=2, num_val=1, formats=('png',)), quiet=True)
    assert build_toy_world(root, ToySettings(num_train=1, num_val=1, formats=('png',)), quiet=True)
    assert len(list((root / 'train2017').iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['toy']
