"""That all is reproduced stands in test_pixel_llm_cases.py; here, that all is compared."""

from pathlib import Path

import pytest

from flmm.apis.golden.pixel_llm_scores import _our_name, check_scores
from flmm.models.flax_weights import read_npz
from flmm.utils.safe_io import load_json

DATA = Path(__file__).parents[2] / 'data' / 'pixel_llm'


@pytest.fixture
def golden():
    return load_json(DATA / 'evaluators_and_tools.json')


@pytest.fixture(scope='module')
def masks():
    return read_npz(DATA / 'refcoco_masks.npz')['masks']


def failed(results):
    return [result.name for result in results if not result.passed]


def spoil(values):
    """Change the first number within lists of lists."""
    while isinstance(values[0], list):
        values = values[0]
    values[0] += 1


def test_wrong_boxes_and_masks_of_expressions_are_noticed(golden, masks):
    recorded = golden['refcoco']['predictions_after_rescale']
    recorded[1]['bbox'][2] += 0.01
    recorded[3]['segmentation'] = recorded[2]['segmentation']
    for name in ('box_Precision@1', 'seg_box_Precision@1', 'seg_gIoU', 'seg_AP'):
        golden['refcoco']['metrics'][name] -= 1e-5
    assert failed(check_scores(golden, masks)) == [
        f'refcoco/{recorded[1]["id"]}/bbox',
        f'refcoco/{recorded[3]["id"]}/segmentation',
        'refcoco/box_Precision@1',
        'refcoco/seg_box_Precision@1',
        'refcoco/seg_gIoU',
        'refcoco/seg_AP',
    ]


def test_wrong_distances_of_points_are_noticed(golden, masks):
    golden['point_evaluator']['per_example'][1] += 1e-4
    golden['point_evaluator']['metrics']['point_l1'] += 1e-4
    assert failed(check_scores(golden, masks)) == ['point_evaluator/1', 'point_evaluator/point_l1']


def test_wrong_groups_of_regions_are_noticed(golden, masks):
    groups = golden['densecap']['merged_gt']
    groups['1'][0]['captions'].reverse()
    groups['2'][0]['bbox'][0] += 0.5
    wrong = ['densecap/merged_gt/1/captions', 'densecap/merged_gt/2/boxes']
    assert failed(check_scores(golden, masks)) == wrong


def test_wrong_boxes_of_the_resized_image_are_noticed(golden, masks):
    spoil(golden['rescale_and_convert_boxes_to_xywh']['output'])
    assert failed(check_scores(golden, masks)) == ['rescale_and_convert_boxes_to_xywh']


def test_wrong_places_of_a_narrative_are_noticed(golden, masks):
    features = golden['localized_narratives_tfrecord']['feature_lists']
    for name in ('point', 'bbox', 'center'):
        features[f'caption/{name}'][0][0] += 1e-3
    outputs = golden['decode_localized_narratives']['outputs']
    for want in outputs.values():
        spoil(want['points'])
    assert failed(check_scores(golden, masks)) == [
        *(f'localized_narratives/{name}' for name in ('point', 'bbox', 'center')),
        *(f'decode_localized_narratives/{name}' for name in outputs),
    ]


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ('mAP', 'map'),
        ('mAP_detection', 'map_boxes'),
        ('mAP_detection_iou0.5', 'ap_boxes_iou0.5'),
        ('mAP_iou0.3_meteor0.05', 'ap_iou0.3_meteor0.05'),
    ],
)
def test_scores_of_dense_captions_have_other_names_here(theirs, ours):
    assert _our_name(theirs) == ours
