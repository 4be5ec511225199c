"""What is said about a scene: narratives, expressions, questions and answers.

All functions are deterministic in the generator they are given. Squares of the
picture are named as on a chess board (column letter, row number, e.g. ``F 7``)
of ``BOARD`` x ``BOARD`` squares laid over the picture padded to a square.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from flmm.datasets.toy.expressions import (
    NEEDED,
    NUMBERS,
    Expression,
    find_expression,
    referents,
    to_words,
)
from flmm.datasets.toy.scenes import COLORS, SHAPES, ToyScene

BOARD = 12
COLUMN_NAMES = tuple('ABCDEFGHIJKL')
ROW_NAMES = tuple(str(row + 1) for row in range(BOARD))
DESCRIBE = 'Describe this image.'
CAPTION = 'What can be seen in this picture?'
NAME = 'Name things and their squares.'


@dataclass(frozen=True)
class Utterance:
    """A piece of a narrative.

    Attributes:
        text: Its words.
        objects: Objects that it names.
        stuff: Stuff regions that it names.
        plural: Whether it names several things.
    """

    text: str
    objects: tuple[int, ...] = ()
    stuff: tuple[int, ...] = ()
    plural: bool = False

    @property
    def is_noun(self) -> bool:
        """Whether it names anything."""
        return bool(self.objects or self.stuff)


@dataclass(frozen=True)
class Reference:
    """An expression with what it means.

    Attributes:
        text: The words.
        objects: Indices of the meant objects.
    """

    text: str
    objects: tuple[int, ...]


def narrative(rng: np.random.Generator, scene: ToyScene) -> list[Utterance]:
    """Tell what is in a scene, as the utterances of a panoptic narrative.

    Args:
        rng: Chooses what is told, in which order and words.
        scene: The scene.

    Returns:
        Utterances; every one that names something names it unambiguously.
    """
    opening = ('In this picture there is', 'We can see', 'There is', 'The picture shows')
    pieces = [Utterance(opening[rng.integers(len(opening))])]
    groups = _narrated_groups(rng, scene)
    for k, group in enumerate(groups):
        if k:
            pieces.append(Utterance(('and', ',', ', then', 'and also')[rng.integers(4)]))
        pieces.append(_describe(rng, scene, group))
        if rng.random() < 0.3 and len(group) == 1:
            pieces += _relate(rng, scene, group[0])
    if rng.random() < 0.7:
        pieces += _background(rng, scene)
    return [*pieces, Utterance('.')]


def _narrated_groups(rng: np.random.Generator, scene: ToyScene) -> list[tuple[int, ...]]:
    """Objects to tell about: equals together, at most four groups, random order."""
    buckets: dict[tuple, list[int]] = {}
    for i, item in enumerate(scene.objects):
        buckets.setdefault((item.shape, item.color), []).append(i)
    groups: list[tuple[int, ...]] = []
    for members in buckets.values():
        if len(members) > 1 and rng.random() < 0.7:
            groups.append(tuple(members))
        else:
            groups += [(i,) for i in members]
    return [groups[i] for i in rng.permutation(len(groups))[: int(rng.integers(2, 5))]]


def _describe(rng: np.random.Generator, scene: ToyScene, group: tuple[int, ...]) -> Utterance:
    style = ('plain', 'short', 'long')[rng.choice(3, p=(0.5, 0.35, 0.15))]
    for attempt in (style, 'short', 'long'):
        expression = find_expression(rng, scene, set(group), attempt)
        if expression is not None:
            article = 'a' if attempt == 'plain' else 'the'
            text = to_words(rng, expression, len(group), article)
            return Utterance(text, group, plural=len(group) > 1)
    return Utterance('something else')


def _relate(rng: np.random.Generator, scene: ToyScene, index: int) -> list[Utterance]:
    """A continuation such as "above the sand", about the ground or another object."""
    others = [i for i in range(len(scene.objects)) if i != index]
    if others and rng.random() < 0.6:
        other = others[int(rng.integers(len(others)))]
        for relation, words in (('left', 'left of'), ('right', 'right of'),
                                ('above', 'above'), ('below', 'below')):  # fmt: skip
            anchor = find_expression(rng, scene, {other}, 'plain')
            if anchor is None:
                return []
            meant = referents(Expression(relation=relation, anchor=anchor), scene)
            if meant and index in meant:
                return [Utterance(words), Utterance(to_words(rng, anchor), (other,))]
        return []
    ground = scene.stuff.index(scene.objects[index].ground)
    word = {'sky': 'in', 'wall': 'on'}.get(scene.stuff[ground], 'on')
    return [Utterance(word), Utterance(f'the {scene.stuff[ground]}', stuff=(ground,))]


def _background(rng: np.random.Generator, scene: ToyScene) -> list[Utterance]:
    order = rng.permutation(len(scene.stuff))
    pieces = [Utterance(('. In the background there is', '. Behind is', 'with')[rng.integers(3)])]
    for k, j in enumerate(order):
        if k:
            pieces.append(Utterance('and'))
        pieces.append(Utterance(f'the {scene.stuff[j]}', stuff=(int(j),)))
    return pieces


def expressions_of(
    rng: np.random.Generator, scene: ToyScene, index: int, style: str, count: int
) -> list[str]:
    """Different expressions of one object, at most ``count`` (none if it has none)."""
    texts: list[str] = []
    for _ in range(2 * count):
        expression = find_expression(rng, scene, {index}, style)
        if expression is None:
            break
        article = 'the' if style == 'long' else ('the', '', '')[rng.integers(3)]
        text = to_words(rng, expression, 1, article)
        if text not in texts:
            texts.append(text)
        if len(texts) == count:
            break
    return texts


def caption(scene: ToyScene) -> str:
    """The full caption: every object with its place, from left to right, then the stuff."""
    order = sorted(scene.objects, key=lambda item: item.center[0])
    parts = [
        f'a {o.size} {o.color} {o.shape} at the {" ".join(ninth(scene, o.center))}' for o in order
    ]
    return ' , '.join(parts) + f' ; {" and ".join(scene.stuff)} .'


def ninth(scene: ToyScene, center: tuple[float, float]) -> tuple[str, str]:
    """Row and column name of the ninth of the picture that a point lies in."""
    row = min(int(3 * center[1] / scene.height), 2)
    column = min(int(3 * center[0] / scene.width), 2)
    return ('top', 'middle', 'bottom')[row], ('left', 'center', 'right')[column]


def random_references(
    rng: np.random.Generator, scene: ToyScene, count: int, plural: float = 0.15, hard: float = 0.0
) -> list[Reference]:
    """Expressions of random objects in random styles.

    Args:
        rng: Chooses.
        scene: The scene.
        count: How many to look for.
        plural: Share that means a group.
        hard: Share that cannot be understood without its relation, ground or superlative.

    Returns:
        At most ``count``: not every object has an expression of every style.
    """
    found = []
    for _ in range(count):
        style = ('short', 'plain', 'long')[rng.integers(3)]
        target = {int(rng.integers(len(scene.objects)))}
        if hard and rng.random() < hard:
            style = NEEDED[rng.choice(3, p=(0.6, 0.2, 0.2))]
        elif rng.random() < plural:
            target = _random_group(rng, scene) or target
        expression = find_expression(rng, scene, target, style)
        if expression is not None:
            telegram = style in ('short', 'plain', 'superlative')
            article = ('the', '', '')[rng.integers(3)] if telegram else 'the'
            text = to_words(rng, expression, len(target), article)
            found.append(Reference(text, tuple(sorted(target))))
    return found


def _random_group(rng: np.random.Generator, scene: ToyScene) -> set[int] | None:
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    name = ('shape', 'color', 'size', 'texture')[rng.choice(4, p=(0.4, 0.4, 0.1, 0.1))]
    group = referents(Expression(**{name: getattr(item, name)}), scene)
    return group if group and 1 < len(group) <= 4 else None


def questions(rng: np.random.Generator, scene: ToyScene, count: int) -> list[tuple[str, str]]:
    """Questions with short answers about colour, shape, count, place and presence."""
    makers = (_ask_color, _ask_shape, _ask_count, _ask_presence, _ask_place, _ask_size)
    turns: list[tuple[str, str]] = []
    for _ in range(3 * count):
        turn = makers[rng.integers(len(makers))](rng, scene)
        if turn and turn not in turns:
            turns.append(turn)
        if len(turns) == count:
            break
    return turns


def _referred(rng: np.random.Generator, scene: ToyScene, without: str) -> tuple[str, int] | None:
    """Words for a random object that do not mention one attribute."""
    index = int(rng.integers(len(scene.objects)))
    style = ('short', 'plain', 'long')[rng.integers(3)]
    for _ in range(3):
        expression = find_expression(rng, scene, {index}, style)
        if expression is not None and getattr(expression, without) is None:
            return to_words(rng, expression), index
    return None


def _ask_color(rng: np.random.Generator, scene: ToyScene) -> tuple[str, str] | None:
    asked = _referred(rng, scene, 'color')
    return asked and (f'What color is {asked[0]}?', scene.objects[asked[1]].color)


def _ask_shape(rng: np.random.Generator, scene: ToyScene) -> tuple[str, str] | None:
    asked = _referred(rng, scene, 'shape')
    return asked and (f'What shape is {asked[0]}?', scene.objects[asked[1]].shape)


def _ask_size(rng: np.random.Generator, scene: ToyScene) -> tuple[str, str] | None:
    asked = _referred(rng, scene, 'size')
    return asked and (f'Is {asked[0]} small or large?', scene.objects[asked[1]].size)


def _ask_place(rng: np.random.Generator, scene: ToyScene) -> tuple[str, str] | None:
    asked = _referred(rng, scene, 'superlative')
    if asked is None:
        return None
    for answer in ('left', 'right') if rng.random() < 0.5 else ('top', 'bottom'):
        if asked[1] in (referents(Expression(place=(answer,)), scene) or ()):
            pair = 'left or right' if answer in ('left', 'right') else 'at the top or bottom'
            return f'Is {asked[0]} {pair}?', answer
    return None


def _ask_count(rng: np.random.Generator, scene: ToyScene) -> tuple[str, str] | None:
    expression = _random_kind(rng)
    count = len(referents(expression, scene))
    answer = {0: 'none', 1: 'one', **NUMBERS}[count]
    return f'How many {to_words(rng, expression, 2, "")} are there?', answer


def _ask_presence(rng: np.random.Generator, scene: ToyScene) -> tuple[str, str] | None:
    expression = _random_kind(rng)
    if rng.random() < 0.4:
        item = scene.objects[int(rng.integers(len(scene.objects)))]
        expression = Expression(shape=item.shape, color=item.color)
    found = bool(referents(expression, scene))
    return f'Is there {to_words(rng, expression, 1, "a")}?', 'yes' if found else 'no'


def _random_kind(rng: np.random.Generator) -> Expression:
    shape = SHAPES[rng.integers(len(SHAPES))]
    color = list(COLORS)[rng.integers(len(COLORS))]
    return (Expression(shape=shape), Expression(color=color), Expression(shape=shape, color=color))[
        rng.integers(3)
    ]


def board_of(mask: np.ndarray) -> list[str]:
    """Squares that a mask covers at least by half (the fullest one if none).

    Args:
        mask: (H, W) bool in the picture; the board lies on the picture padded
            to a square, the picture centred.

    Returns:
        Names such as ``'F 7'``, by rows.
    """
    side = max(mask.shape)
    top, left = (side - mask.shape[0]) // 2, (side - mask.shape[1]) // 2
    square = np.zeros((side, side), np.float32)
    square[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    cover = cv2.resize(square, (BOARD, BOARD), interpolation=cv2.INTER_AREA)
    cells = np.argwhere(cover >= min(0.5, cover.max()))
    return [square_name(int(row), int(column)) for row, column in cells]


def square_name(row: int, column: int) -> str:
    """Name of a square of the board, e.g. ``square_name(6, 5) == 'F 7'``."""
    return f'{COLUMN_NAMES[column]} {ROW_NAMES[row]}'
