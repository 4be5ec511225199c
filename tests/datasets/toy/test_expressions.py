"""Expressions mean what they say, and say it unambiguously."""

from dataclasses import replace

import numpy as np
import pytest

from flmm.datasets.toy.expressions import (
    NEEDED,
    Expression,
    find_anchor,
    find_expression,
    referents,
    to_words,
)
from flmm.datasets.toy.scenes import ToyObject, ToyScene, sample_scene


def scene_of(*objects, width=100, height=100):
    """Scene graph without a picture: (shape, color, size, x, y) of each object."""
    items = [ToyObject(s, c, z, 'plain', (x, y), 10, 0, 'grass') for s, c, z, x, y in objects]
    blank = np.zeros((height, width, 3), np.uint8)
    return ToyScene((0,), blank, np.full((height, width), -1), items, ['grass'])


SCENE = scene_of(
    ('circle', 'red', 'large', 20, 50),
    ('circle', 'blue', 'small', 80, 50),
    ('star', 'red', 'small', 50, 10),
    ('star', 'red', 'small', 50, 90),
)


@pytest.mark.parametrize(
    ('expression', 'meant'),
    [
        (Expression(shape='circle'), {0, 1}),
        (Expression(shape='circle', color='red'), {0}),
        (Expression(color='red', size='small'), {2, 3}),
        (Expression(place=('left',)), {0}),  # the stars are in the middle
        (Expression(shape='circle', place=('left',)), {0}),
        (Expression(superlative='topmost'), {2}),
        (Expression(shape='circle', superlative='topmost'), None),  # a tie
        (Expression(color='green'), set()),
        (Expression(relation='left', anchor=Expression(color='blue')), None),  # stars: diagonal
        (Expression(shape='circle', relation='left', anchor=Expression(color='blue')), {0}),
        (Expression(relation='left', anchor=Expression(shape='star')), None),  # which star?
        (Expression(shape='star', relation='closest', anchor=Expression(color='blue')), None),
        (Expression(relation='above', anchor=Expression(size='large')), {2}),
    ],
)
def test_referents(expression, meant):
    assert referents(expression, SCENE) == meant


@pytest.mark.parametrize('style', ['short', 'plain', 'long'])
def test_what_is_found_means_the_target_and_nothing_else(style):
    rng, found = np.random.default_rng(0), 0
    for index in range(30):
        scene = sample_scene(1, index)
        for target in range(len(scene.objects)):
            expression = find_expression(rng, scene, {target}, style)
            if expression is not None:
                found += 1
                assert referents(expression, scene) == {target}
    assert found > 60


def test_plain_style_names_no_place():
    rng = np.random.default_rng(0)
    for index in range(20):
        scene = sample_scene(2, index)
        expression = find_expression(rng, scene, {0}, 'plain')
        if expression is not None:
            assert not (expression.place or expression.superlative or expression.relation)


def test_equal_objects_cannot_be_told_apart_by_attributes():
    assert find_expression(np.random.default_rng(0), SCENE, {2}, 'plain') is None
    assert find_anchor(np.random.default_rng(0), SCENE, 2) is None


@pytest.mark.parametrize(
    ('expression', 'count', 'article', 'words'),
    [
        (Expression(shape='star', color='red'), 1, 'the', 'the red star'),
        (Expression(shape='star', color='red'), 1, 'a', 'a red star'),
        (Expression(color='red'), 1, '', 'red one'),
        (Expression(shape='cross'), 2, '', 'crosses'),
        (Expression(shape='star', superlative='topmost'), 1, 'the', 'the topmost star'),
        (
            Expression(shape='ring', place=('top', 'left')),
            1,
            'the',
            'the ring in the top left corner',
        ),
        (
            Expression(shape='star', relation='left', anchor=Expression(color='blue')),
            1,
            'the',
            'the star to the left of the blue thing',
        ),
    ],
)
def test_words(expression, count, article, words):
    assert to_words(np.random.default_rng(0), expression, count, article) == words


@pytest.mark.parametrize('style', NEEDED)
def test_needed_conditions_are_needed(style):
    rng, found = np.random.default_rng(0), 0
    for index in range(20):
        scene = sample_scene(1, index)
        for target in range(len(scene.objects)):
            expression = find_expression(rng, scene, {target}, style)
            if expression is not None:
                found += 1
                assert getattr(expression, style) is not None
                assert referents(expression, scene) == {target}
                assert referents(replace(expression, **{style: None}), scene) != {target}
    assert found >= 10
