"""PointQA of a scene by hand."""

import json

import numpy as np
import pytest
from toy_by_hand import KINDS, scene_by_hand, write_one

from flmm.datasets.toy.writers.pointqa import PointQAWriter, _place


def read(tmp_path, name):
    return json.loads((tmp_path / f'pointqa/{name}.json').read_text())


def test_each_object_is_asked_for_its_colour(tmp_path):
    write_one(PointQAWriter(tmp_path))
    (entry,) = read(tmp_path, 'localqa_dataset')['7']
    assert [point['ans'] for point in entry['points']] == [color for _, color in KINDS]
    assert entry['all_objs'][1] == {'x': 20, 'y': 2, 'w': 10, 'h': 4}
    assert read(tmp_path, 'localqa_train_imgs') == ['7']
    assert read(tmp_path, 'localqa_val_imgs') == []


@pytest.mark.parametrize('seed', range(4))
def test_as_many_are_counted_as_have_the_shape(tmp_path, seed):
    write_one(PointQAWriter(tmp_path), seed=seed)
    (entry,) = read(tmp_path, 'looktwiceqa_dataset')['7']
    shape = entry['obj_question'].split()[4].removesuffix('s')
    assert entry['ans'] == str([name for name, _ in KINDS].count(shape))


def test_the_point_lies_on_the_object_also_where_its_centre_does_not():
    scene = scene_by_hand(1)
    # A ring: the middle is not part of it.
    scene.label_map[4:6, 4:6] = -1
    _, point = _place(scene, 0)
    assert scene.object_mask(0)[point['y'], point['x']]
    assert np.hypot(point['x'] - 4.5, point['y'] - 4.5) < 2
