"""Imperfect prompts stay near their masks."""

import numpy as np
import pytest

from flmm.datasets.toy.build import ToySettings, build_toy_world
from flmm.datasets.toy.panoptic_prompts import PanopticPrompts, corrupt


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy') / 'world'
    build_toy_world(root, ToySettings(num_train=6, num_val=0, formats=('png',)), quiet=True)
    folder = root / 'annotations/panoptic_train2017'
    return PanopticPrompts(f'{folder}.json', str(folder), str(root / 'train2017'), seed=0)


def test_shapes_and_padding(dataset):
    sample = dataset[0]
    assert sample['pixels'].shape == (3, 128, 128)
    assert sample['masks'].shape == (6, 128, 128)
    assert sample['mask_prompts'].shape == (6, 64, 64)
    assert (sample['boxes'] >= 0).all() and (sample['boxes'] <= 128).all()
    assert not (sample['masks'] & ~sample['valid']).any()
    assert (sample['pixels'][:, ~sample['valid']] == 0).all()


def test_with_a_seed_an_image_gives_the_same_prompts(dataset):
    assert (dataset[1]['mask_prompts'] == dataset[1]['mask_prompts']).all()


def test_prompts_overlap_with_their_masks_but_are_not_them(dataset):
    ious = []
    for i in range(len(dataset)):
        sample = dataset[i]
        prompt = sample['mask_prompts'].numpy().repeat(2, 1).repeat(2, 2) > 0
        mask = sample['masks'].numpy()
        ious += list((prompt & mask).sum((1, 2)) / np.maximum((prompt | mask).sum((1, 2)), 1))
    assert 0.4 < np.mean(ious) < 0.9


def test_an_empty_prompt_gets_the_box_of_the_whole_image():
    empty = np.zeros((128, 128), np.float32)
    valid = np.zeros((128, 128), bool)
    valid[:96] = True
    for seed in range(20):
        logits, box = corrupt(np.random.default_rng(seed), empty, empty, valid)
        if (logits <= 0).all():
            assert box == [0, 0, 128, 96]
