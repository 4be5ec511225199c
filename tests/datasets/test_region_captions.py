"""Captions of regions in four layouts; evaluation of single regions and in company."""

import copy
import json
import pickle

import pytest
from region_files import COCO, bare, write_json

from flmm.datasets.region_captions import RefCOCOCaptionDataset, RegionCaptionDataset
from flmm.evaluation.metrics import CaptionMetric
from flmm.structures import GroundingPrediction, GroundingSample, SkippedSample
from flmm.utils.errors import AnnotationError

CAPTIONED = copy.deepcopy(COCO)
for _annotation, _caption in zip(
    CAPTIONED['annotations'], ('a grey cat', 'dog', 'crowd', 'tiny'), strict=True
):
    _annotation['caption'] = _caption
MDETR = copy.deepcopy(COCO)
MDETR['images'][0].update(caption='the cat on the left', file_name='COCO_train2014_a.jpg')
MDETR['annotations'] = MDETR['annotations'][:1]


def build(tmp_path, content=CAPTIONED, **options):
    return RegionCaptionDataset(
        write_json(tmp_path / 'c.json', content),
        str(tmp_path),
        templates=bare('visual_genome'),
        **options,
    )


def test_each_caption_answers_the_question_about_its_box(tmp_path):
    sample = build(tmp_path)[0]
    pairs = {(r.box_xyxy, t.answer) for r, t in zip(sample.regions, sample.turns, strict=True)}
    assert pairs == {((10, 10, 40, 50), 'a grey cat'), ((50, 20, 100, 40), 'dog')}


def test_short_captions_are_dropped_by_name(tmp_path):
    sample = build(tmp_path, min_words=3)[0]
    assert [turn.answer for turn in sample.turns] == ['a grey cat']
    assert ('annotation 2', 'caption_too_short') in sample.dropped


def test_the_caption_of_an_image_is_that_of_its_box(tmp_path):
    dataset = build(tmp_path, MDETR, layout='images', strip_prefix='COCO_train2014_')
    sample = dataset[0]
    assert sample.turns[0].answer == 'the cat on the left'
    assert sample.image_path.endswith('/a.jpg')


def test_visual_genome_s_own_file(tmp_path):
    # As in the real file, which gives no size of the image.
    region = {'region_id': 4, 'image_id': 9, 'x': 1, 'y': 2, 'width': 30, 'height': 40}
    content = [{'id': 9, 'regions': [{**region, 'phrase': 'a red hat'}]}, {'id': 1, 'regions': []}]
    dataset = build(tmp_path, content, layout='visual_genome')
    assert len(dataset) == 1
    sample = dataset[0]
    assert sample.image_path.endswith('/9.jpg')
    assert (sample.regions[0].box_xyxy, sample.turns[0].answer) == ((1, 2, 31, 42), 'a red hat')


def test_shares_of_visual_genome_s_boxes_need_the_sizes_of_its_images(tmp_path):
    region = {'region_id': 4, 'image_id': 9, 'x': 1, 'y': 2, 'width': 30, 'height': 40}
    content = [{'id': 9, 'regions': [{**region, 'phrase': 'a red hat'}]}]
    sizes = write_json(tmp_path / 's.json', [{'image_id': 9, 'width': 20, 'height': 5000}])
    options = dict(layout='visual_genome', sizes_file=sizes)
    # 40 of 5000 pixels are less than 2 of 224.
    assert isinstance(build(tmp_path, content, **options)[0], SkippedSample)
    assert build(tmp_path, content, min_share=0.005, **options)[0].regions[0].box_xyxy == (
        1, 2, 20, 42
    )  # fmt: skip


def test_to_evaluate_each_region_is_a_sample_of_its_own(tmp_path):
    dataset = build(tmp_path, ask='one')
    assert len(dataset) == 4
    items = [dataset[i] for i in range(4)]
    assert [getattr(i, 'meta', {}).get('references') for i in items[:2]] == [
        ['a grey cat'],
        ['dog'],
    ]
    assert all(turn.answer is None for item in items[:2] for turn in item.turns)
    # A crowd and a box without width are counted, as they cannot be asked about.
    assert [type(item) for item in items[2:]] == [SkippedSample, SkippedSample]
    assert [item.references for item in items[2:]] == [('crowd',), ('tiny',)]


def test_skipped_regions_count_as_empty_captions(tmp_path):
    content = copy.deepcopy(CAPTIONED)
    content['annotations'] = content['annotations'][:2]
    content['annotations'][0]['bbox'] = [1, 2]  # broken
    dataset = build(tmp_path, content, ask='one', pipeline=[dict(type='LoadImage')])
    items = [dataset[0], dataset[1]]
    assert [item.reason for item in items] == ['annotation_invalid', 'annotation_invalid']
    content['annotations'][0]['bbox'] = [10, 10, 30, 40]
    dataset = build(tmp_path, content, ask='one', pipeline=[dict(type='LoadImage')])
    items = [dataset[0], dataset[1]]
    # There is no such image.
    assert [item.reason for item in items] == ['image_unreadable'] * 2
    assert [item.references for item in items] == [('a grey cat',), ('dog',)]
    metric = CaptionMetric(metrics=('rouge_l',))
    said = GroundingPrediction(GroundingSample('x', meta={'references': ['one']}), None, text='one')
    metric.process({'skipped': items}, [said])
    assert metric.evaluate(3)['caption/rouge_l'] == pytest.approx(100 / 3)


def test_regions_of_an_image_are_kept_once_however_many_are_asked_about(tmp_path):
    content = copy.deepcopy(CAPTIONED)
    content['annotations'] = [
        {**CAPTIONED['annotations'][0], 'id': i, 'segmentation': [[0.5] * 100]} for i in range(100)
    ]
    one, whole = build(tmp_path, content, ask='one'), build(tmp_path, content)
    assert (len(one), len(whole)) == (100, 1)
    assert one[99].regions[0].meta['ann_id'] == 99
    # Outlines, which nobody asks for, are most of the file.
    size = len(pickle.dumps(whole))
    assert len(pickle.dumps(one)) < size + 2000 < len(json.dumps(content))


def test_company_is_asked_about_first(tmp_path):
    sample = build(tmp_path, ask='one', company=7)[0]
    assert [r.meta['caption'] for r in sample.regions] == ['dog', 'a grey cat']
    assert sample.turns[1].request == 'region2 <region>?'
    assert sample.meta['references'] == ['a grey cat']


def test_company_is_repeated_where_an_image_has_too_little(tmp_path):
    sample = build(tmp_path, ask='one', company=3, repeat_company=True)[0]
    assert [r.meta['caption'] for r in sample.regions] == ['dog', 'dog', 'dog', 'a grey cat']
    assert sample.turns[-1].request == 'region4 <region>?'
    assert all(turn.answer is None for turn in sample.turns)


def test_an_empty_caption_is_named(tmp_path):
    content = copy.deepcopy(CAPTIONED)
    content['annotations'][0]['caption'] = ' '
    item = build(tmp_path, content)[0]
    assert item.reason == 'annotation_invalid' and 'a text is expected' in item.detail


def test_options_and_files_are_checked(tmp_path):
    with pytest.raises(ValueError, match='layout'):
        build(tmp_path, layout='coco')
    with pytest.raises(ValueError, match='ask'):
        build(tmp_path, ask='each')
    with pytest.raises(ValueError, match='no templates'):
        build(tmp_path, kind='refcocox')
    with pytest.raises(AnnotationError, match='region_descriptions'):
        build(tmp_path, [{'regions': [{}]}], layout='visual_genome')


def refer_release(tmp_path, refs, **options):
    instances = copy.deepcopy(COCO)
    for annotation in instances['annotations']:
        annotation['segmentation'] = [[0, 0, 9, 0, 9, 9]]
    (tmp_path / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=2))
    return RefCOCOCaptionDataset(
        write_json(tmp_path / 'instances.json', instances),
        str(tmp_path / 'refs(unc).p'),
        str(tmp_path),
        kind='refcoco',
        ask='one',
        templates=bare('refcoco'),
        **options,
    )


def ref(ref_id, ann_id, *sentences):
    return {
        'ref_id': ref_id,
        'ann_id': ann_id,
        'image_id': 7,
        'split': 'train',
        'sentences': [{'raw': text} for text in sentences],
    }


def test_refcoco_turned_round_has_all_expressions_as_references(tmp_path):
    dataset = refer_release(tmp_path, [ref(1, 1, 'Left cat', 'grey one'), ref(2, 2, 'the dog')])
    assert [dataset[i].meta['references'] for i in range(2)] == [
        ['left cat', 'grey one'],
        ['the dog'],
    ]
    assert dataset[0].regions[0].box_xyxy == (10, 10, 40, 50)


def test_a_broken_ref_of_refcoco_stays_a_counted_sample(tmp_path):
    dataset = refer_release(tmp_path, [ref(1, 1, 'left cat'), ref(2, 77, 'nothing')])
    items = [dataset[i] for i in range(len(dataset))]
    assert [getattr(item, 'reason', '') for item in items] == ['', 'annotation_invalid']
    assert 'ann_id 77' in items[1].detail


def test_refcoco_s_objects_may_be_given_by_points_to_evaluate(tmp_path):
    refs = [ref(1, 1, 'left cat'), ref(2, 2, 'the dog')]
    dataset = refer_release(tmp_path, refs, shapes={'points': 1.0}, company=1)
    sample = dataset[0]
    assert len(sample.regions) == len(sample.turns) == 2
    # The outline is a triangle whose right angle is at (9, 0).
    points = [point for region in sample.regions for point in region.points]
    assert all(0 <= x <= 9 and 0 <= y <= x + 1 for x, y in points)
    assert [region.box_xyxy for region in sample.regions] == [None, None]
    assert sample.meta['references'] == ['left cat']


def test_a_region_without_outline_is_skipped_where_its_shape_is_asked_for(tmp_path):
    item = build(tmp_path, ask='one', shapes={'mask': 1.0})[0]
    assert (item.reason, item.references) == ('no_phrase', ('a grey cat',))
    assert isinstance(build(tmp_path, shapes={'mask': 1.0})[0], SkippedSample)
