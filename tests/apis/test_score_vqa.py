import json
import math

import pytest
from PIL import Image

from flmm.apis.score_vqa import read_predictions, score_file
from flmm.utils.errors import AnnotationError

ROWS = [
    {'question_id': 1, 'image': 'a.jpg', 'text': 'Is there a dog?', 'label': 'yes'},
    {'question_id': 2, 'image': 'a.jpg', 'text': 'Is there a cat?', 'label': 'no'},
]


@pytest.fixture
def pope(tmp_path):
    path = tmp_path / 'coco_pope_random.json'
    path.write_text('\n'.join(map(json.dumps, ROWS)))
    return path


def test_lines_in_any_order_are_scored_and_counted(pope, tmp_path):
    answers = tmp_path / 'answers.jsonl'
    lines = [
        {'id': 'pope/random/2', 'skipped': 'image_unreadable'},
        {'question_id': 'random/1', 'text': 'Yes'},
        {'question_id': 'random/1', 'text': 'No'},
        {'question_id': 'random/9', 'text': 'No'},
    ]
    answers.write_text('\n'.join(map(json.dumps, lines)))
    result = score_file('pope', pope, answers)
    assert result['metrics']['accuracy'] == 50 and result['missing'] == ['random/2']
    assert result['matching'] == {
        'num_answered': 1,
        'num_missing': 1,
        'num_repeated': 1,
        'num_conflicting': 1,
        'num_unknown': 1,
    }


def test_an_mme_without_all_of_its_folders_says_so(tmp_path):
    (tmp_path / 'count').mkdir()
    Image.new('RGB', (8, 8)).save(tmp_path / 'count/1.png')
    (tmp_path / 'count/1.txt').write_text('Is it 1?\tYes\nIs it 2?\tNo\n')
    answers = tmp_path / 'answers.json'
    answers.write_text(json.dumps({'count/1/1': 'yes', 'count/1/2': 'yes'}))
    result = score_file('mme', tmp_path, answers)
    assert math.isnan(result['metrics']['perception'])
    assert result['metrics']['partial_perception'] == result['metrics']['task/count'] == 50
    assert 'no questions of existence, position' in result['notes']['perception']


def test_answers_may_be_texts_or_records_by_id(tmp_path):
    path = tmp_path / 'answers.json'
    path.write_text(json.dumps({'v1_0': 'five', '1': {'answer': '5', 'response': 'It is 4'}}))
    assert list(read_predictions(path)) == [('v1_0', 'five'), ('1', 'It is 4')]
    path.write_text(json.dumps([{'pid': 3, 'prediction': 'x'}]))
    assert list(read_predictions(path)) == [('3', 'x')]


def test_the_sample_log_of_a_test_is_read(tmp_path):
    entry = {'id': 'mmvet/v1_0', 'skipped': '', 'question': {}, 'answer': 'five'}
    lines = [
        {'index': 0, 'id': 'mmvet/v1_0', 'skipped': '', 'entries': {'mmvet': entry}},
        {'index': 1, 'id': 'mmvet/v1_1', 'skipped': 'x', 'entries': {'mmvet': {'answer': None}}},
    ]
    path = tmp_path / 'mmvet.jsonl'
    path.write_text('\n'.join(map(json.dumps, lines)))
    assert list(read_predictions(path, 'mmvet')) == [('v1_0', 'five')]


def test_files_without_ids_or_of_another_benchmark_are_refused(pope, tmp_path):
    path = tmp_path / 'answers.json'
    path.write_text(json.dumps([{'text': 'x'}]))
    with pytest.raises(AnnotationError, match='record 1: expected an id'):
        list(read_predictions(path))
    path.write_text(json.dumps({'v1_0': 'x'}))
    with pytest.raises(AnnotationError, match='its ids are v1_0, expected such as random/1'):
        score_file('pope', pope, path)
