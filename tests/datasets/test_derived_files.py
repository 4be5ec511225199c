"""Files made of the public ones, by hand."""

import json

import pytest

from flmm.datasets.derived_files import (
    boxes_by_image,
    iconqa_questions,
    pointqa_local,
    pointqa_look_twice,
    read_boxes_by_image,
    regions_as_expressions,
    visual7w_splits,
)
from flmm.utils.errors import AnnotationError


def instances(*boxes, **more):
    return {
        'categories': [{'id': 3, 'name': 'Car'}],
        'images': [{'id': 1, 'file_name': 'images/v1/p/a.jpg', 'width': 100, 'height': 50}],
        'annotations': [
            {'id': i, 'image_id': 1, 'category_id': 3, 'bbox': box, 'area': 4, **more}
            for i, box in enumerate(boxes)
        ],
    }


def test_boxes_are_cut_to_the_image_and_those_without_inside_dropped():
    content = instances(
        [-5, -5, 20, 20],  # reaches out at the left and above
        [90, 40, 30, 30],  # at the right and below
        [200, 0, 10, 10],  # beside the image
        [10, 10, 0.5, 9],  # thinner than a pixel
    )
    (entry,) = boxes_by_image(content, drop_prefix=len('images/v1/'))
    assert entry['image_id'] == 'p/a.jpg'
    assert [item['bbox'] for item in entry['anno']] == [[0, 0, 15, 15], [90, 40, 100, 50]]
    assert {(item['category_name'], item['ignore']) for item in entry['anno']} == {('Car', 0)}
    (entry,) = boxes_by_image(content, clip_start=False)
    assert entry['anno'][0]['bbox'] == [-5, -5, 15, 15]


def test_crowds_stay_but_are_ignored_and_an_area_of_zero_is_no_object():
    (entry,) = boxes_by_image(instances([0, 0, 9, 9], iscrowd=1))
    assert entry['anno'][0]['ignore'] == 1
    (entry,) = boxes_by_image(instances([0, 0, 9, 9], area=0))
    assert entry['anno'] == []


def test_a_prefix_that_is_no_folder_is_not_cut_off():
    content = instances([0, 0, 9, 9])
    content['images'][0]['file_name'] = 'objects365_v1_00420917.jpg'
    with pytest.raises(AnnotationError, match=r"images\[0\].*'objects365_v1_00420917.jpg'"):
        boxes_by_image(content, drop_prefix=len('images/v1/'))
    assert boxes_by_image(content)[0]['image_id'] == 'objects365_v1_00420917.jpg'


def with_box(box):
    item = {'id': 1, 'ignore': 0, 'category_name': 'dog', 'bbox': box}
    return [{'id': 1, 'image_id': 'a', 'anno': [item]}]


@pytest.mark.parametrize(
    ('broken', 'message'),
    [
        (instances([0, 0, 9, 9]), 'expected a list, got dict'),  # the public file itself
        ([{'id': 1, 'anno': []}], "\\[0\\].*'image_id'"),
        ([{'id': 1, 'image_id': 'a', 'anno': [{'id': 1, 'bbox': [0, 0, 9]}]}], "\\[0\\].*'ignore'"),
        (with_box([0, 0, 9]), '\\[0\\].*not enough values'),
        (with_box([0, 0, 9, 10**400]), '\\[0\\].*OverflowError'),
        (with_box([0, 0, 9, float('inf')]), '\\[0\\].*finite'),
        (with_box([0, 0, 9, '9']), '\\[0\\].*TypeError'),
        ([{'id': [1], 'image_id': 'a', 'anno': []}], '\\[0\\].*unhashable'),
    ],
)
def test_boxes_by_image_are_read_back_and_nothing_else_is(tmp_path, broken, message):
    path = tmp_path / 'boxes.json'
    entries = boxes_by_image(instances([0, 0, 9, 9]))
    path.write_text(json.dumps(entries))
    assert read_boxes_by_image(path) == entries
    path.write_text(json.dumps(broken))
    with pytest.raises(AnnotationError, match=message):
        read_boxes_by_image(path)


def test_ids_of_a_split_may_be_numbers():
    entry = {'id': 4, 'question': 'q', 'all_objs': [{'x': 0}], 'points': [{'ans': 'a'}]}
    assert pointqa_local({'4': [entry]}, [4]) == pointqa_local({'4': [entry]}, ['4'])
    assert pointqa_look_twice({'4': [entry]}, [4]) == [entry]


def test_regions_become_expressions():
    region = {'image_id': 8, 'phrase': 'a hat', 'x': 1, 'y': 2, 'width': 3, 'height': 4}
    assert regions_as_expressions([{'regions': [region]}, {'regions': []}]) == [
        {'image_id': '8.jpg', 'sentence': 'a hat', 'bbox': [1, 2, 4, 6]}
    ]


def test_visual7w_s_boxes_are_looked_up():
    box = {'box_id': 5, 'x': 0}
    other = {'box_id': 6, 'x': 1}
    question = {'question': 'Which?', 'answer': 5, 'multiple_choices': [6]}
    image = {'image_id': 2, 'filename': 'f.jpg', 'split': 'val', 'qa_pairs': [question]}
    splits = visual7w_splits({'boxes': [box, other], 'images': [image]})
    assert splits['train'] == splits['test'] == []
    (entry,) = splits['val']
    assert (entry['answer_box'], entry['multiple_choices_box']) == (box, [other])
    assert entry['file_name'] == 'f.jpg'
    telling = visual7w_splits({'images': [image]})
    assert 'answer_box' not in telling['val'][0]


def test_pointqa_s_questions_of_the_images_of_a_split():
    entry = {'id': 1, 'question': 'q', 'all_objs': ['b1', 'b2'], 'points': ['p1', 'p2']}
    found = pointqa_local({'1': [entry], '2': [entry]}, ['1'])
    assert [(one['all_objs'], one['points']) for one in found] == [('b1', 'p1'), ('b2', 'p2')]
    assert pointqa_look_twice({'1': ['x'], '2': ['y', 'z']}, ['2', '1']) == ['y', 'z', 'x']


def test_iconqa_s_folders_become_a_list_by_number():
    def entry(kind='choose_txt'):
        return {'question': 'q', 'choices': [2, 'x'], 'answer': 1, 'ques_type': kind, 'grade': 'k'}

    found = iconqa_questions({'10': entry(), '9': entry()})
    assert [one['image_id'] for one in found] == ['9', '10']
    assert found[0] == {'image_id': '9', 'question': 'q', 'choices': ['2', 'x'], 'answer': 1}
    with pytest.raises(AnnotationError, match='choose_img'):
        iconqa_questions({'1': entry(), '2': entry('choose_img')})


@pytest.mark.parametrize(
    ('derive', 'name'),
    [
        (lambda: iconqa_questions({'1': {'question': 'q'}}), 'IconQA'),
        (lambda: boxes_by_image({'images': []}), 'COCO'),
        (lambda: regions_as_expressions([{}]), 'Visual Genome'),
        (lambda: visual7w_splits({}), 'Visual7W'),
        (lambda: pointqa_local({}, ['1']), 'local'),
        (lambda: pointqa_look_twice({}, ['1']), 'look twice'),
    ],
)
def test_other_formats_are_named(derive, name):
    with pytest.raises(AnnotationError, match=name):
        derive()
