"""Recorded scores of Pink are computed again; a wrong record is noticed."""

import json

import pytest

from flmm.apis.golden.pink_scores import _printed, _share, check_derived_files, check_scores


def write_lines(path, lines):
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def failed(results):
    return {result.name for result in results if not result.passed}


def test_printed_numbers_are_found_by_their_label():
    lines = ['accuracy: 0.5', 'other', 'accuracy: 0.25', 'option accuracy:0.75']
    assert _printed(lines, 'accuracy') == 0.5
    assert _printed(lines, 'accuracy', 1) == 0.25
    assert _printed(lines, 'option accuracy') == 0.75
    # The release prints four digits.
    assert _share([True, False, False]) == 0.3333


@pytest.fixture
def rec(tmp_path):
    """Four answers: right, half as wide, no box, elsewhere."""
    answers = [
        '[0.100,0.100,0.500,0.500]',
        '[0.100,0.100,0.300,0.500]',
        'nothing',
        '[0.600,0.600,0.900,0.900]',
    ]
    lines = [
        {'exp_id': i, 'orig_wh': [100, 100], 'bbox': [10, 10, 50, 50], 'pred_bbox': answer}
        for i, answer in enumerate(answers)
    ]
    write_lines(tmp_path / 'rec.json_result', lines)
    from flmm.evaluation.pink_rec import score_rec

    scores = score_rec(answers, [[10, 10, 50, 50]] * 4, [(100, 100)] * 4)
    record = {
        'acc1': 0.25,
        'correct': 1,
        'format_error': 1,
        'location_error': 2,
        'stdout_tail': ['...', str(scores.mean_wrong_iou)],
        'per_item_iou': {str(i): iou for i, iou in enumerate(scores.ious)},
        'correct_ids': [0],
    }
    return tmp_path, record


def test_boxes_are_scored_again(rec):
    folder, record = rec
    (folder / 'scores.json').write_text(json.dumps({'rec_eval_vg': record}))
    results = list(check_scores(folder))
    assert failed(results) == set()
    # Four counts, the mean IoU, an IoU for each answer, the list of right ones.
    assert len(results) == 4 + 1 + 4 + 1
    (folder / 'scores.json').write_text(json.dumps({'rec_eval_vg': {**record, 'correct': 2}}))
    assert failed(check_scores(folder)) == {'rec_eval_vg/correct'}


def test_scores_without_predictions_are_left_out(tmp_path):
    (tmp_path / 'scores.json').write_text(json.dumps({'gqa': {}, 'unknown': {}}))
    assert list(check_scores(tmp_path)) == []


def test_yes_and_no_of_gqa_exact_and_contained(tmp_path):
    lines = [
        {'answer': 'Yes', 'gt_answer': 'yes', 'full_gt_answer': 'Yes, it is.'},
        {'answer': 'red car', 'gt_answer': 'car', 'full_gt_answer': 'It is a car.'},
        {'answer': 'dog', 'gt_answer': 'cat', 'full_gt_answer': 'A cat.'},
        {'answer': 'dog', 'gt_answer': 'cat', 'full_gt_answer': 'A cat.'},
    ]
    write_lines(tmp_path / 'gqa.jsonl', lines)
    # First the lenient number is printed (2 of 4), then the exact one (1 of 4).
    record = {'gqa': {'stdout': ['accuracy: 0.5', 'accuracy: 0.25']}}
    (tmp_path / 'scores.json').write_text(json.dumps(record))
    assert failed(check_scores(tmp_path)) == set()


def test_derived_files_are_compared_where_there_are_any(tmp_path):
    assert list(check_derived_files(tmp_path)) == []
    region = {'image_id': 3, 'phrase': 'a cat', 'x': 1, 'y': 2, 'width': 10, 'height': 20}
    (tmp_path / 'region_descriptions_input.json').write_text(
        json.dumps([{'id': 3, 'regions': [region]}])
    )
    wanted = [{'image_id': '3.jpg', 'sentence': 'a cat', 'bbox': [1, 2, 11, 22]}]
    output = tmp_path / 'visual_genome2vg_output.json'
    output.write_text(json.dumps(wanted))
    (result,) = check_derived_files(tmp_path)
    assert result.passed
    output.write_text(json.dumps([{**wanted[0], 'bbox': [1, 2, 10, 20]}]))
    (result,) = check_derived_files(tmp_path)
    assert not result.passed
