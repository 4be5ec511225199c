from pathlib import Path

import pytest

from flmm.datasets import ConcatGrounding, RefCOCODataset
from flmm.datasets.transforms import AddPrompt

ROOT = Path(__file__).parents[1] / 'data' / 'f_lmm_data' / 'data' / 'coco'


def part(split, **options):
    return dict(
        type=RefCOCODataset,
        ann_file=str(ROOT / 'refcoco/instances.json'),
        split_file=str(ROOT / 'refcoco/refs(unc).p'),
        image_root=str(ROOT / 'train2014'),
        split=split,
        **({'name': split} | options),
    )


def test_datasets_follow_each_other_behind_one_pipeline():
    configs = [part('val'), part('testA', pipeline=[dict(type=AddPrompt, prompt='own')])]
    dataset = ConcatGrounding(configs, pipeline=[dict(type=AddPrompt, prompt='shared')])
    assert len(dataset) == 3
    assert [s.sample_id for s in dataset] == ['val/val/0', 'val/val/1', 'testA/testA/0']
    assert [s.prompt for s in dataset] == ['shared', 'shared', 'own']
    assert dataset[-1].sample_id == dataset.sample_id(2)
    assert dataset.part_ranges() == {'val': range(2), 'testA': range(2, 3)}
    assert [m['split'] for m in dataset.metainfo['parts']] == ['val', 'testA']
    assert configs[0]['type'] is RefCOCODataset  # the caller's config is as it was


def test_epochs_reach_all_parts():
    dataset = ConcatGrounding([part('val', sentence='random')])
    first = [[p.text for p in s.phrases] for s in dataset]
    later = []
    for epoch in range(1, 9):
        dataset.set_epoch(epoch)
        later.append([[p.text for p in s.phrases] for s in dataset])
    assert any(texts != first for texts in later)


def test_parts_need_names_of_their_own():
    with pytest.raises(ValueError, match='different names'):
        ConcatGrounding([part('val', name='a'), part('testA', name='a')])
    with pytest.raises(ValueError, match='at least one'):
        ConcatGrounding([])
