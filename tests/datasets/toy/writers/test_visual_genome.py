"""Visual Genome of a scene by hand: captions, objects, who is beside whom."""

import json

import numpy as np
from toy_by_hand import COCO_BOXES, scene_by_hand, write_one

from flmm.datasets.toy.writers.visual_genome import VisualGenomeWriter, describe


def read(tmp_path, name):
    return json.loads((tmp_path / f'visual_genome/{name}.json').read_text())


def test_both_layouts_hold_the_same_captions_and_boxes(tmp_path):
    write_one(VisualGenomeWriter(tmp_path))
    (entry,) = read(tmp_path, 'train/region_descriptions')
    own = {region['region_id']: region['phrase'] for region in entry['regions']}
    coco = read(tmp_path, 'train')
    assert own == {item['id']: item['caption'] for item in coco['annotations']}
    assert [item['bbox'] for item in coco['annotations']] == COCO_BOXES
    (objects,) = read(tmp_path, 'train/objects')
    assert [item['names'] for item in objects['objects']] == [
        ['circle'], ['square'], ['circle'], ['star']
    ]  # fmt: skip


def test_a_caption_always_names_colour_and_shape():
    scene = scene_by_hand()
    captions = {describe(np.random.default_rng(seed), scene, 0) for seed in range(40)}
    assert all('red circle' in caption for caption in captions)
    assert {'a red circle', 'a small red circle', 'a red circle in the sky'} <= captions


def test_relations_are_those_of_the_centres_and_none_where_they_are_close(tmp_path):
    write_one(VisualGenomeWriter(tmp_path))
    (entry,) = read(tmp_path, 'train/relationships')
    found = {
        (r['subject']['object_id'] - 71, r['object']['object_id'] - 71): r['predicate']
        for r in entry['relationships']
    }
    # The centres are (4.5, 4.5), (24.5, 3.5), (6.5, 14.5), (32.5, 13.5).
    assert found[0, 1] == 'left of' and found[1, 0] == 'right of'
    assert found[0, 2] == 'above' and found[2, 0] == 'below'
    assert found[1, 3] == 'above'  # 8 to the right, 10 below
    assert len(found) == 12

    scene = scene_by_hand(2)
    scene.objects[1].center = (9.0, 8.0)
    writer = VisualGenomeWriter(tmp_path / 'close')
    writer.add('train', 7, scene, np.random.default_rng(0))
    writer.finish()
    (entry,) = read(tmp_path / 'close', 'train/relationships')
    assert entry['relationships'] == []
