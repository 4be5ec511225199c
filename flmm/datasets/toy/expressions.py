"""Referring expressions of the toy world and what they mean.

An :class:`Expression` is a small logical form. :func:`referents` evaluates it
on a scene graph, so every expression that is written out is checked: it means
exactly its target, and no other object comes close to satisfying it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from flmm.datasets.toy.scenes import ToyScene

NUMBERS = {2: 'two', 3: 'three', 4: 'four', 5: 'five', 6: 'six', 7: 'seven'}
PLACES = ('left', 'right', 'top', 'bottom', 'middle')
RELATIONS = ('left', 'right', 'above', 'below')
SUPERLATIVES = ('leftmost', 'rightmost', 'topmost', 'lowest')
# Styles whose expressions would mean more or other objects without that condition.
NEEDED = ('relation', 'ground', 'superlative')

_SURE, _NOT = 0.40, 0.48  # shares of the side: surely left, surely not left
_MARGIN = 7.0  # pixels by which a superlative has to win


@dataclass(frozen=True)
class Expression:
    """Conditions that an object has to meet; ``None`` asks nothing.

    Attributes:
        shape: As in :class:`~flmm.datasets.toy.scenes.ToyObject`.
        color: Likewise.
        size: Likewise.
        texture: Likewise.
        place: Some of ``PLACES``, all have to hold.
        superlative: One of ``SUPERLATIVES``, among what meets the rest.
        ground: The stuff below the object.
        relation: One of ``RELATIONS`` or ``'closest'``, to ``anchor``.
        anchor: Expression of the object that the relation is to.
    """

    shape: str | None = None
    color: str | None = None
    size: str | None = None
    texture: str | None = None
    place: tuple[str, ...] = ()
    superlative: str | None = None
    ground: str | None = None
    relation: str | None = None
    anchor: Expression | None = None


def referents(expression: Expression, scene: ToyScene) -> set[int] | None:
    """Objects that an expression means.

    Args:
        expression: The logical form.
        scene: Where to look.

    Returns:
        Indices of the objects; ``None`` where a borderline case (an object
        almost on the left, two objects equally far down) leaves it open.
    """
    matches: set[int] = set()
    looks = ('shape', 'color', 'size', 'texture', 'ground')
    asked = [(n, value) for n in looks if (value := getattr(expression, n)) is not None]
    for i, item in enumerate(scene.objects):
        if any(getattr(item, name) != value for name, value in asked):
            continue
        verdicts = [_at_place(scene, i, place) for place in expression.place]
        if False in verdicts:
            continue
        if None in verdicts:
            return None
        matches.add(i)
    if expression.relation:
        return _related(expression, scene, matches)
    if expression.superlative and len(matches) > 1:
        axis = 0 if expression.superlative in ('leftmost', 'rightmost') else 1
        sign = 1 if expression.superlative in ('leftmost', 'topmost') else -1
        return _winner(matches, lambda i: sign * scene.objects[i].center[axis])
    return matches


def _at_place(scene: ToyScene, index: int, place: str) -> bool | None:
    x, y = scene.objects[index].center
    u, v = x / scene.width, y / scene.height
    if place == 'middle':
        off = max(abs(u - 0.5), abs(v - 0.5))
        return True if off < 0.14 else False if off > 0.2 else None
    share = {'left': u, 'right': 1 - u, 'top': v, 'bottom': 1 - v}[place]
    return True if share < _SURE else False if share > _NOT else None


def _related(expression: Expression, scene: ToyScene, matches: set[int]) -> set[int] | None:
    anchors = referents(expression.anchor, scene)
    if anchors is None or len(anchors) != 1:
        return None
    anchor = next(iter(anchors))
    matches = matches - {anchor}
    ax, ay = scene.objects[anchor].center
    if expression.relation == 'closest':
        if len(matches) < 2:
            return matches
        return _winner(
            matches,
            lambda i: np.hypot(scene.objects[i].center[0] - ax, scene.objects[i].center[1] - ay),
        )
    related = set()
    for i in matches:
        dx, dy = scene.objects[i].center[0] - ax, scene.objects[i].center[1] - ay
        along, across = {
            'left': (-dx, dy),
            'right': (dx, dy),
            'above': (-dy, dx),
            'below': (dy, dx),
        }[expression.relation]
        if along > 8 and along > abs(across):
            related.add(i)
        elif along > 3:
            return None
    return related


def _winner(matches: set[int], score: Callable[[int], float]) -> set[int] | None:
    order = sorted(matches, key=score)
    return {order[0]} if score(order[1]) - score(order[0]) > _MARGIN else None


def find_expression(
    rng: np.random.Generator, scene: ToyScene, target: set[int], style: str
) -> Expression | None:
    """Find an expression that means exactly the target.

    Args:
        rng: Source of randomness.
        scene: The scene.
        target: Indices of one object or of a group.
        style: ``'short'`` (attributes and places, as in RefCOCO),
            ``'plain'`` (attributes only, as in RefCOCO+), ``'long'``
            (relations and grounds as well, as in RefCOCOg) or one of
            ``NEEDED``: only expressions that need this condition.

    Returns:
        One of the simpler ones that were found, ``None`` where none was.
    """
    found = []
    for _ in range(24):
        candidate = _candidate(rng, scene, target, style)
        if candidate is not None and referents(candidate, scene) == target:
            if style in NEEDED and not _needs(candidate, style, scene):
                continue
            found.append(candidate)
            if len(found) == 4:
                break
    if not found:
        return None
    found.sort(key=_complexity)
    return found[int(rng.random() ** 2 * len(found))]


def _needs(expression: Expression, condition: str, scene: ToyScene) -> bool:
    without = replace(expression, **{condition: None})
    return referents(without, scene) != referents(expression, scene)


def _complexity(expression: Expression) -> int:
    names = ('color', 'size', 'texture', 'superlative', 'ground', 'relation')
    return sum(getattr(expression, name) is not None for name in names) + len(expression.place)


def _candidate(
    rng: np.random.Generator, scene: ToyScene, target: set[int], style: str
) -> Expression | None:
    """Random true statement about the target, not necessarily about it alone."""
    items = [scene.objects[i] for i in sorted(target)]
    item = items[int(rng.integers(len(items)))]
    single = len(items) == 1
    chances = {'shape': 0.85, 'color': 0.65, 'size': 0.3, 'texture': 0.25}
    picked = {name: getattr(item, name) for name, p in chances.items() if rng.random() < p}
    picked = {k: v for k, v in picked.items() if all(getattr(o, k) == v for o in items)}
    expression = Expression(**picked)
    extra = rng.random()
    if style == 'superlative' or (style == 'short' and extra < 0.2):
        if single:
            return replace(expression, superlative=SUPERLATIVES[rng.integers(4)])
    if style == 'short' and extra < 0.55:
        count = 2 if rng.random() < 0.25 else 1
        place = tuple(p for p in rng.permutation(PLACES) if _fits(scene, target, p))[:count]
        if set(place) in ({'middle', p} for p in PLACES):
            place = place[:1]
        return replace(expression, place=tuple(sorted(place, key=PLACES.index, reverse=True)))
    if (style == 'ground' or (style == 'long' and extra < 0.2)) and len(scene.stuff) == 2:
        if len({o.ground for o in items}) == 1:
            return replace(expression, ground=item.ground)
    elif style == 'relation' or (style == 'long' and extra < 0.85):
        others = [i for i in range(len(scene.objects)) if i not in target]
        if single and others:
            anchor = find_anchor(rng, scene, others[int(rng.integers(len(others)))])
            names = (*RELATIONS, 'closest')
            return anchor and replace(
                expression, relation=names[rng.integers(len(names))], anchor=anchor
            )
    return expression


def _fits(scene: ToyScene, target: set[int], place: str) -> bool:
    return all(_at_place(scene, i, place) for i in target)


def find_anchor(rng: np.random.Generator, scene: ToyScene, index: int) -> Expression | None:
    """Shortest attribute expression that means one object, ``None`` if there is none."""
    item = scene.objects[index]
    for names in (('shape',), ('color', 'shape'), ('size', 'shape'), ('texture', 'shape'),
                  ('size', 'color', 'shape'), ('texture', 'color', 'shape')):  # fmt: skip
        expression = Expression(**{name: getattr(item, name) for name in names})
        if referents(expression, scene) == {index}:
            return expression
        if rng.random() < 0.1:
            continue
    return None


def to_words(
    rng: np.random.Generator, expression: Expression, count: int = 1, article: str = 'the'
) -> str:
    """Say an expression in English.

    Args:
        rng: Chooses between wordings.
        expression: The logical form.
        count: How many objects it means; the noun is plural above one.
        article: ``'the'``, ``'a'`` or ``''`` (telegram style: word order free).

    Returns:
        A phrase in lower case without a full stop.
    """
    noun = expression.shape or ('one' if not article else 'thing')
    if count > 1:
        noun += 'es' if noun == 'cross' else 's'
    texture = expression.texture
    tail_texture = texture in ('striped', 'dotted') and rng.random() < 0.25
    adjectives = [expression.size, None if tail_texture else texture, expression.color]
    words = [a for a in adjectives if a] + [noun]
    if tail_texture:
        words += ['with', 'stripes' if texture == 'striped' else 'dots']
    if count > 1 and article:
        words.insert(0, NUMBERS[count] if rng.random() < 0.7 else 'all')
    where = list(expression.place)
    if expression.superlative:
        words.insert(0, expression.superlative)
    if where:
        words = _with_place(rng, words, where, article)
    if expression.ground:
        words += ['on', 'the', expression.ground]
    if expression.relation:
        words += _RELATION_WORDS[expression.relation].split()
        words += to_words(rng, expression.anchor).split()
    if article == 'the' or (article and (count > 1 or expression.superlative)):
        if words[0] not in NUMBERS.values() or article == 'the':
            if words[0] != 'all':
                words.insert(0, 'the')
    elif article:
        words.insert(0, article)
    return ' '.join(words)


_RELATION_WORDS = {
    'left': 'to the left of',
    'right': 'to the right of',
    'above': 'above',
    'below': 'below',
    'closest': 'closest to',
}


def _with_place(
    rng: np.random.Generator, words: list[str], where: list[str], article: str
) -> list[str]:
    if article:
        preposition = 'in' if where == ['middle'] or len(where) == 2 else (
            'on' if where[0] in ('left', 'right') else 'at')  # fmt: skip
        corner = ['corner'] if len(where) == 2 else []
        return [*words, preposition, 'the', *where, *corner]
    wording = rng.integers(3)
    if wording == 0:
        return [*where, *words]
    if wording == 1:
        return [*words, *where]
    return [*words, 'on' if where[0] in ('left', 'right') else 'at', *where]
