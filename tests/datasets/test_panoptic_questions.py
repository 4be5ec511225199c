import json
import random

import pytest

from flmm.datasets import PanopticQuestionsDataset
from flmm.datasets.instruction import Chooser
from flmm.datasets.transforms import WriteTurns
from flmm.utils.box_writers import CrayonBoxes
from flmm.utils.errors import AnnotationError

CATEGORIES = [
    {'id': 1, 'name': 'cat', 'isthing': 1},
    {'id': 2, 'name': 'dog', 'isthing': 1},
    {'id': 9, 'name': 'grass-merged', 'isthing': 0},
]


def segment(key, category, box, **more):
    return {'id': key, 'category_id': category, 'bbox': box, 'iscrowd': 0, **more}


SEGMENTS = [
    segment(7, 1, [10, 20, 30, 40]),
    segment(3, 1, [50, 0, 50, 100]),
    segment(5, 9, [0, 50, 100, 50]),
]


@pytest.fixture
def write(tmp_path):
    """Function that writes an annotation of one image of 100 x 200 and opens it."""

    def make(segments=SEGMENTS, categories=CATEGORIES, **options):
        content = {
            'images': [{'id': 4, 'file_name': '4.jpg', 'width': 100, 'height': 200}],
            'annotations': [{'image_id': 4, 'file_name': '4.png', 'segments_info': segments}],
            'categories': categories,
        }
        path = tmp_path / 'panoptic.json'
        path.write_text(json.dumps(content))
        return PanopticQuestionsDataset(str(path), str(tmp_path), **options)

    return make


def ask(dataset, seed=0):
    return dataset.draw(dataset.records[0], Chooser(random.Random(seed)))


def test_a_conversation_asks_different_questions_in_words(write):
    dataset = write()
    sample = dataset[0]
    sample.ori_shape = (200, 100)
    write_turns = WriteTurns(marks=False, dialect=dict(type=CrayonBoxes))
    turns = write_turns(sample).turns
    assert len(turns) == 4 == len({(turn.request, turn.answer) for turn in turns})
    assert all('{' not in turn.request for turn in turns)


def test_a_box_has_the_plain_name_of_its_segment(write):
    for seed in range(5):
        (asked,) = ask(write(tasks=['name'], turns=1), seed)
        (part,) = asked.fields['objs']
        names = {20.0: 'cat', 0.0: 'cat', 50.0: 'grass'}
        assert asked.answer == [names[part['box'][1]]] == asked.truth['answers']


def test_a_class_has_the_boxes_of_its_segments_in_the_order_of_their_ids(write):
    asked = ask(write(tasks=['place'], turns=2))
    boxes = {one.fields['category'][0]: one.truth['boxes_xyxy'] for one in asked}
    assert boxes == {
        'cat': [[50, 0, 100, 100], [10, 20, 40, 60]],
        'grass': [[0, 50, 100, 100]],
    }
    (asked,) = ask(write(tasks=['place'], turns=2, unique=True))
    assert asked.phrase == ('grass', [0, 50, 100, 100])


def test_presence_asks_for_what_is_there_and_for_what_is_not(write):
    asked = ask(write(tasks=['presence'], turns=3))
    said = {one.fields['category'][0]: one.answer[0] for one in asked}
    assert said == {'cat': 'yes', 'grass': 'yes', 'dog': 'no'}


def test_counts_and_the_list_number_the_segments_of_a_class(write):
    asked = ask(write(tasks=['count'], turns=2))
    assert {one.fields['category'][0]: one.answer for one in asked} == {
        'cat': ['2'],
        'grass': ['1'],
    }
    (listed,) = ask(write(tasks=['segments'], turns=1))
    assert [part for part in listed.answer if isinstance(part, str)] == [
        *('(#1 cat) ', ', ', '(#1 grass) ', ', ', '(#2 cat) ')
    ]


def test_stuff_crowds_and_slivers_can_be_left_out(write):
    crowd = [segment(1, 2, [0, 0, 90, 90], iscrowd=1), segment(2, 1, [0, 0, 1, 90]), SEGMENTS[2]]
    (asked,) = ask(write(crowd, tasks=['name'], turns=3))
    assert asked.answer == ['grass']
    with pytest.raises(AnnotationError, match='holds no sample'):
        write(crowd, things_only=True)
    with pytest.raises(AnnotationError, match='holds no sample'):
        write(SEGMENTS[:2], tasks=['place'], unique=True)


def test_an_image_may_come_several_times_with_other_draws(write):
    dataset = write(tasks=['name'], turns=1, repeat=20)
    assert len(dataset) == 20
    drawn = {str(dataset[i].meta['instructions'][0]['fields']) for i in range(20)}
    assert len(drawn) == 3


def test_other_files_and_tasks_are_refused(write, tmp_path):
    with pytest.raises(ValueError, match='tasks must be some of'):
        write(tasks=['colour'])
    with pytest.raises(AnnotationError, match='names the category 1, which it does not list'):
        write(categories=CATEGORIES[1:])
    with pytest.raises(AnnotationError, match='not a COCO panoptic annotation'):
        write([{'id': 1}])
    path = tmp_path / 'other.json'
    path.write_text('[]')
    with pytest.raises(AnnotationError, match='not a COCO panoptic annotation'):
        PanopticQuestionsDataset(str(path), '')
