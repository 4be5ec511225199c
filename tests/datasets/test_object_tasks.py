"""Questions about a list of named boxes, by hand: 200 x 100 pixels with two cars and a dog."""

import random

from flmm.datasets.instruction import Chooser, every_choice, location
from flmm.datasets.object_tasks import (
    NamedBox,
    ask_coarse_location,
    ask_counting,
    ask_detection,
    ask_for_box,
    ask_for_description,
    choose_category,
    join_rich,
)

LARGE, SMALL = NamedBox(('car',), [100, 50, 200, 100]), NamedBox(('car',), [0, 0, 20, 20])
DOG = NamedBox(('dog', 'animal'), [60, 60, 80, 80])
OBJECTS = [LARGE, DOG, SMALL]


def all_of(ask):
    found = []
    for drawn in every_choice(ask):
        if drawn not in found:
            found.append(drawn)
    return found


def test_how_many_there_are_is_drawn_before_which():
    drawn = [choose_category(OBJECTS, Chooser(random.Random(seed))) for seed in range(400)]
    share = sum(name == 'car' for name, _ in drawn) / len(drawn)
    # One category of two objects, two of one: a half, not a third; four standard deviations.
    assert 0.4 < share < 0.6
    assert {name for name, _ in drawn} == {'car', 'dog', 'animal'}
    assert next(members for name, members in drawn if name == 'car') == [SMALL, LARGE]


def test_all_objects_of_a_category_are_found_by_name_or_by_one_of_them():
    asked = all_of(lambda chooser: ask_detection(OBJECTS, chooser))
    cars = [one for one in asked if one.truth == {'boxes_xyxy': [SMALL.box, LARGE.box]}]
    assert {one.template for one in cars} == {'detect', 'detect_like'}
    assert all(one.answer == [{'box': SMALL.box}, ' ', {'box': LARGE.box}] for one in cars)
    shown = [one.fields['object'] for one in cars if one.template == 'detect_like']
    assert shown == [[location(SMALL.box)], [location(LARGE.box)]]
    # A single object is not asked for by itself.
    assert {one.template for one in asked if len(one.answer) == 1} == {'detect'}


def test_counts_are_words_of_digits():
    asked = all_of(lambda chooser: ask_counting(OBJECTS, chooser))
    assert {one.answer[0] for one in asked} == {'1', '2'}
    assert {one.template for one in asked} == {'count', 'count_like'}
    assert all(one.truth == {'answers': one.answer} for one in asked)


def test_directions_compare_the_middles_of_boxes():
    """From the dog's middle (70, 70): the small car is top left, the large one bottom right."""

    def answers(place):
        asked = all_of(lambda chooser: ask_coarse_location(OBJECTS, [], chooser))
        return [
            one.answer
            for one in asked
            if one.fields['loc'] == [place]
            and one.fields['object'] == [location(DOG.box)]
            and one.template == 'place_names'
        ]

    assert answers('top left') == [['car']] and answers('bottom right') == [['car']]
    assert answers('top right') == [['N/A']]


def test_a_description_may_stand_for_the_object():
    described = [('a big car', LARGE.box)]
    asked = all_of(lambda chooser: ask_coarse_location([DOG], described, chooser))
    named = [one for one in asked if one.fields['object'][0]['mark'] == 'des']
    # The dog lies at the top left of the large car's middle (150, 75).
    found = {str(one.answer) for one in named if one.fields['loc'] == ['top left']}
    box = {'box': DOG.box}
    assert found == {str(['dog']), str([box]), str([box, ' ', 'dog'])}


def test_a_box_is_asked_for_by_its_text_and_a_text_by_its_box():
    back = ask_for_box('a cat', [1, 2, 3, 4])
    assert back.phrase == ('a cat', [1, 2, 3, 4]) and back.truth == {'box_xyxy': [1, 2, 3, 4]}
    assert back.answer == [{'box': [1, 2, 3, 4]}]
    there = ask_for_description('a cat', [1, 2, 3, 4], 'region_caption')
    assert there.answer == ['a cat'] and there.truth['references'] == ['a cat']
    assert join_rich([['a'], ['b', 'c']]) == ['a', ' ', 'b', 'c']
