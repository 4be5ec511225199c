"""PointQA: a question at a box or a point."""

import pytest
from instruction_files import pairs_of, write

from flmm.datasets import PointQALocalDataset, PointQALookTwiceDataset
from flmm.utils.errors import AnnotationError

BOX = {'x': 20, 'y': 10, 'w': 40, 'h': 30}
LOCAL = {
    'id': 4,
    'question': 'What color is it?',
    'all_objs': BOX,
    'points': {'x': 50, 'y': 25, 'ans': 'red'},
}
LOOK = {
    'id': 4,
    'obj_question': 'How many cats?',
    'super_question': 'How many animals?',
    'general_question': 'How many of these?',
    'bbox': BOX,
    'point': {'x': 100, 'y': 50},
    'ans': '2',
}


def test_local_questions_show_a_box_or_a_point(tmp_path):
    path = write(tmp_path / 'l.json', [LOCAL])
    shown = '<loc>[0.100,0.100,0.300,0.400]</loc>'
    assert pairs_of(PointQALocalDataset(path, '.')) == {(f'What color is it? {shown}', 'red')}
    assert pairs_of(PointQALocalDataset(path, '.', 'point')) == {
        ('What color is it? <loc>[0.250,0.250]</loc>', 'red')
    }


def test_a_count_is_asked_for_in_one_of_three_wordings(tmp_path):
    path = write(tmp_path / 't.json', [LOOK])
    anyhow = {request.split(' <')[0] for request, _ in pairs_of(PointQALookTwiceDataset(path, '.'))}
    assert anyhow == {'How many cats?', 'How many animals?', 'How many of these?'}
    one = PointQALookTwiceDataset(path, '.', 'point', level='super_question')
    assert pairs_of(one) == {('How many animals? <loc>[0.500,0.500]</loc>', '2')}
    assert one[0].meta['answers'] == ['2'] and one.image_name(LOOK) == '4.jpg'


def test_wrong_options_and_the_official_file_itself_are_errors(tmp_path):
    path = write(tmp_path / 'l.json', [LOCAL])
    with pytest.raises(ValueError, match='shown'):
        PointQALocalDataset(path, '.', 'circle')
    with pytest.raises(ValueError, match='level'):
        PointQALookTwiceDataset(path, '.', level='easy')
    with pytest.raises(AnnotationError, match='derive_pink'):
        PointQALocalDataset(write(tmp_path / 'o.json', {'4': [LOCAL]}), '.')
