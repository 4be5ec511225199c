"""Conversations: what follows a phrase is true of what the phrase means."""

import re

import numpy as np
import pytest

from flmm.datasets.toy import language
from flmm.datasets.toy.dialogues import Talk, conversation, reference_conversation
from flmm.datasets.toy.scenes import COLORS, SHAPES, SIZES, TEXTURES, sample_scene

LOOKS = {'size': SIZES, 'texture': TEXTURES, 'color': tuple(COLORS), 'shape': SHAPES}


@pytest.mark.parametrize('make', [conversation, reference_conversation])
def test_turns_are_complete_and_short_enough_for_the_lmm(make):
    for index in range(25):
        turns = make(np.random.default_rng(index), sample_scene(6, index))
        words = sum(len(request.split()) + len(answer.split()) for request, answer in turns)
        assert all(request and answer for request, answer in turns)
        assert 60 < words < 420


def test_squares_lie_on_the_object_that_the_words_before_them_mean():
    """Checked on scenes of one object of a shape: 'star F 7' has one possible meaning."""
    checked = 0
    for index in range(60):
        scene = sample_scene(6, index)
        talk = Talk(np.random.default_rng(index), scene)
        for sentence in talk.words()[1].split(' .'):
            squares = re.findall(r'\b[A-L] \d+\b', sentence)
            names = re.sub(r'\b[A-L] \d+\b', '', sentence).split()
            if len(names) == 1 and names[0] in SHAPES:
                meant = [i for i, o in enumerate(scene.objects) if o.shape == names[0]]
                allowed = {s for i in meant for s in language.board_of(scene.object_mask(i))}
                assert squares and set(squares) <= allowed
                checked += 1
    assert checked > 20


def test_looks_after_a_reference_are_those_of_its_object():
    checked = 0
    for index in range(60):
        scene = sample_scene(6, index)
        talk = Talk(np.random.default_rng(index), scene, looks=1.0)
        for reference in language.random_references(np.random.default_rng(index), scene, 6):
            if len(reference.objects) > 1:
                continue
            item = scene.objects[reference.objects[0]]
            looks = talk._other_looks(reference)
            assert len(looks) <= 2
            for look in looks:
                (name,) = (key for key, values in LOOKS.items() if look in values)
                assert getattr(item, name) == look
                assert look not in reference.text.split()
                checked += 1
    assert checked > 60
