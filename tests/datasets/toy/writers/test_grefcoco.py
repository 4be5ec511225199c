"""gRefCOCO of a scene by hand: expressions of none, one and several objects."""

import json

import numpy as np
from toy_by_hand import KINDS, scene_by_hand, write_one

from flmm.datasets.toy.expressions import referents
from flmm.datasets.toy.writers.grefcoco import GRefCocoWriter, absent_kind


def test_targets_are_none_one_or_several(tmp_path):
    counts = set()
    for seed in range(8):
        root = tmp_path / str(seed)
        write_one(GRefCocoWriter(root), seed=seed)
        for ref in json.loads((root / 'grefcoco/grefs(unc).json').read_text()):
            none = ref['ann_id'] == [-1]
            assert ref['no_target'] == none == (ref['category_id'] == [-1])
            assert ref['sentences'][0]['exist'] != none
            assert ref['split'] == 'train' and ref['image_id'] == 7
            assert none or set(ref['ann_id']) <= {71, 72, 73, 74}
            counts.add(0 if none else min(len(ref['ann_id']), 2))
    assert counts == {0, 1, 2}


def test_an_absent_kind_is_a_colour_and_shape_that_nothing_has():
    scene = scene_by_hand()
    for seed in range(40):
        absent = absent_kind(np.random.default_rng(seed), scene)
        assert (absent.shape, absent.color) not in KINDS and not referents(absent, scene)
