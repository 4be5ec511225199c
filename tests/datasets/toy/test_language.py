"""Narratives, questions, captions and the board."""

import numpy as np
import pytest

from flmm.datasets.toy import language
from flmm.datasets.toy.dialogues import conversation
from flmm.datasets.toy.scenes import sample_scene


@pytest.mark.parametrize('index', range(20))
def test_narrative_names_existing_regions_and_says_plural_where_it_is(index):
    scene = sample_scene(4, index)
    pieces = language.narrative(np.random.default_rng(index), scene)
    assert any(piece.is_noun for piece in pieces)
    for piece in pieces:
        assert piece.text == piece.text.strip() and piece.text
        assert all(i < len(scene.objects) for i in piece.objects)
        assert all(scene.stuff[j] in piece.text for j in piece.stuff)
        assert piece.plural == (len(piece.objects) > 1)


def test_board_squares_lie_on_the_padded_square():
    # A 6 x 12 picture on a board of 12: three rows of padding above and below.
    mask = np.zeros((6, 12), bool)
    mask[0, 0] = mask[5, 11] = True
    assert language.board_of(mask) == ['A 4', 'L 9']


def test_a_mask_smaller_than_a_square_gets_its_fullest_square():
    mask = np.zeros((120, 120), bool)
    mask[1:4, 1:4] = True
    assert language.board_of(mask) == ['A 1']


def test_caption_tells_every_object_from_left_to_right():
    scene = sample_scene(4, 1)
    parts = language.caption(scene).split(' ; ')[0].split(' , ')
    order = sorted(scene.objects, key=lambda item: item.center[0])
    assert [part.split()[2:4] for part in parts] == [[o.color, o.shape] for o in order]


def test_answers_are_true():
    for index in range(20):
        scene = sample_scene(5, index)
        for request, answer in language.questions(np.random.default_rng(index), scene, 4):
            if request.startswith('What color'):
                assert answer in {item.color for item in scene.objects}
            if request.startswith('Is there a') and answer == 'yes':
                words = request[:-1].split()
                assert any(o.color in words or o.shape in words for o in scene.objects)


def test_conversation_is_deterministic_and_starts_by_naming_things():
    scene = sample_scene(6, 0)
    turns = conversation(np.random.default_rng(1), scene)
    assert turns == conversation(np.random.default_rng(1), scene)
    assert turns[0][0] in (language.DESCRIBE, language.NAME)
    assert language.DESCRIBE in dict(turns)
    assert all(request and answer for request, answer in turns)
