"""COCO detection as region conversations."""

import copy

import pytest
from region_files import COCO, bare, save_image, write_json

from flmm.datasets.coco_detection import CocoDetectionDataset
from flmm.datasets.transforms import LoadImage, LoadRegions
from flmm.structures import SkippedSample
from flmm.utils.errors import AnnotationError


def build(tmp_path, content=COCO, **options):
    return CocoDetectionDataset(
        write_json(tmp_path / 'coco.json', content),
        str(tmp_path),
        templates=bare('coco_detection'),
        **options,
    )


def test_each_box_is_a_turn_answered_with_its_category(tmp_path):
    sample = build(tmp_path)[0]
    pairs = {
        (region.box_xyxy, turn.answer)
        for region, turn in zip(sample.regions, sample.turns, strict=True)
    }
    assert pairs == {((10, 10, 40, 50), 'cat'), ((50, 20, 100, 40), 'dog')}
    assert sample.turns[0].request == '<image>|region1 <region>?'
    assert sample.turns[1].request == 'region2 <region>?'
    assert sample.dropped == [('annotation 3', 'crowd'), ('annotation 4', 'too_small')]


def test_the_order_depends_on_seed_epoch_and_sample_alone(tmp_path):
    def orders(seed):
        dataset = build(tmp_path, seed=seed)
        found = []
        for epoch in range(12):
            dataset.set_epoch(epoch)
            found.append(tuple(turn.answer for turn in dataset[0].turns))
        return found

    assert orders(0) == orders(0) and len(set(orders(0))) == 2


def test_the_project_s_own_overview_lists_the_categories(tmp_path):
    dataset = CocoDetectionDataset(write_json(tmp_path / 'c.json', COCO), str(tmp_path))
    assert 'cat, dog' in dataset[0].turns[0].request


def test_an_image_without_boxes_is_counted_not_dropped(tmp_path):
    content = copy.deepcopy(COCO)
    content['annotations'] = content['annotations'][2:]
    item = build(tmp_path, content)[0]
    assert isinstance(item, SkippedSample) and item.reason == 'no_phrase'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c['annotations'][0].update(category_id=99), 'KeyError 99'),
        (lambda c: c['annotations'][0].update(bbox=[1, 2, 3]), 'four numbers'),
        (lambda c: c['annotations'][0].update(bbox=None), 'four numbers'),
    ],
)
def test_broken_records_are_named(tmp_path, change, message):
    content = copy.deepcopy(COCO)
    change(content)
    item = build(tmp_path, content)[0]
    assert isinstance(item, SkippedSample) and item.reason == 'annotation_invalid'
    assert message in item.detail and '[0]' in item.detail


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'not in the format of COCO'),
        ({'images': [], 'annotations': []}, 'holds no sample'),
        ({**COCO, 'annotations': [{'image_id': 1}]}, 'none of its images'),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message):
        build(tmp_path, content)


def test_objects_may_be_given_by_their_shapes(tmp_path):
    content = copy.deepcopy(COCO)
    content['annotations'][0]['segmentation'] = [[10, 10, 40, 10, 40, 50, 10, 50]]
    save_image(tmp_path / 'a.jpg')
    pipeline = [LoadImage(), LoadRegions()]
    sample = build(tmp_path, content, shapes={'scribble': 1.0}, pipeline=pipeline)[0]
    # The dog has no outline.
    assert [turn.answer for turn in sample.turns] == ['cat']
    assert sample.turns[0].request == '<image>|region1 <region>?'
    assert sample.dropped[-1] == ('annotation 2', 'no_outline')
    (region,) = sample.regions
    assert region.joined and region.meta == {'ann_id': 1, 'category': 'cat'}
    x0, y0, x1, y1 = region.box_xyxy
    assert 9 <= x0 < x1 <= 41 and 9 <= y0 < y1 <= 51
    sample = build(tmp_path, content, shapes={'mask': 1.0}, pipeline=pipeline)[0]
    assert sample.regions[0].box_xyxy == (10, 10, 40, 50)
    assert sample.regions[0].mask.sum() == 30 * 40
    del content['annotations'][0]['segmentation']
    item = build(tmp_path, content, shapes={'mask': 1.0})[0]
    assert isinstance(item, SkippedSample) and item.reason == 'no_phrase'
