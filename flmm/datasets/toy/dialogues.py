"""Conversations about a scene that teach a small language model to look.

They resemble the mix that LLaVA-1.5 was trained on: captions, short questions,
places of referring expressions as text, descriptions of places. Places are
squares of a board (see :mod:`flmm.datasets.toy.language`). A square that
follows a phrase is drawn at random from those that the phrase's referent
covers, so the best prediction is the whole object, not its centre.
"""

from __future__ import annotations

import numpy as np

from flmm.datasets.toy import language
from flmm.datasets.toy.expressions import PLACES, Expression, referents
from flmm.datasets.toy.scenes import ToyObject, ToyScene

Turn = tuple[str, str]


def conversation(rng: np.random.Generator, scene: ToyScene) -> list[Turn]:
    """Write one conversation of several turns.

    Args:
        rng: Source of randomness.
        scene: What it is about.

    Returns:
        (request, answer) pairs, about 250 words in all.
    """
    talk = Talk(rng, scene)
    described = [talk.references, talk.references, talk.narrative, talk.words]
    later = [talk.caption, talk.read_board, talk.point, talk.ask, talk.ask, talk.ask]
    order = [later[i] for i in rng.permutation(len(later))[:3]]
    turns = [make() for make in [described[i] for i in rng.permutation(4)] + order]
    return [turn for turn in turns if turn is not None]


def reference_conversation(rng: np.random.Generator, scene: ToyScene) -> list[Turn]:
    """Write a conversation that is mostly about what referring expressions mean.

    Their objects' other looks follow as well as squares: two nouns of one picture may share
    squares of a column, but a look that was not mentioned is right or wrong.

    Args:
        rng: Source of randomness.
        scene: What it is about.

    Returns:
        (request, answer) pairs, about 250 words in all.
    """
    talk = Talk(rng, scene, looks=0.6)
    rest = [talk.narrative, talk.words, talk.caption, talk.point, talk.ask, talk.ask]
    makers = [talk.references] * 3 + [rest[i] for i in rng.permutation(len(rest))[:3]]
    turns = [makers[i]() for i in rng.permutation(len(makers))]
    return [turn for turn in turns if turn is not None]


class Talk:
    """Makes the turns of a conversation about one scene.

    Args:
        rng: Source of randomness.
        scene: What it is about.
        looks: Share of referring expressions to one object that are followed by one or two
            looks of it that they do not mention.
    """

    def __init__(self, rng: np.random.Generator, scene: ToyScene, looks: float = 0.0):
        self.rng = rng
        self.scene = scene
        self.looks = looks
        things = [language.board_of(scene.object_mask(i)) for i in range(len(scene.objects))]
        self.thing_squares = things
        taken = {square for squares in things for square in squares}
        self.stuff_squares = [
            [s for s in language.board_of(scene.stuff_mask(j)) if s not in taken]
            for j in range(len(scene.stuff))
        ]

    def narrative(self) -> Turn:
        """A panoptic narrative whose phrases are now and then followed by squares."""
        chance = 0.0 if self.rng.random() < 0.2 else 0.7
        words = []
        for piece in language.narrative(self.rng, self.scene):
            words.append(piece.text)
            if piece.is_noun and self.rng.random() < chance:
                squares = [s for i in piece.objects for s in self.thing_squares[i]]
                squares += [s for j in piece.stuff for s in self.stuff_squares[j]]
                words += self._some(squares)
        return language.DESCRIBE, ' '.join(words)

    def references(self) -> Turn | None:
        """Referring expressions one after another, mostly followed by squares."""
        chance = 0.0 if self.rng.random() < 0.1 else 0.9
        count = int(self.rng.integers(7, 12))
        words = []
        for reference in language.random_references(self.rng, self.scene, count, hard=0.55):
            words.append(reference.text)
            if self.looks and len(reference.objects) == 1 and self.rng.random() < self.looks:
                words += self._other_looks(reference)
            if self.rng.random() < chance:
                words += self._some([s for i in reference.objects for s in self.thing_squares[i]])
            words.append('.')
        return (language.DESCRIBE, ' '.join(words)) if words else None

    def words(self) -> Turn:
        """One to three words at a time, each with squares of all that they are true of."""
        answer = []
        for _ in range(int(self.rng.integers(6, 11))):
            words, squares = self._some_words()
            if squares:
                answer += [*words, *self._some(squares), '.']
        return language.NAME, ' '.join(answer)

    def _some_words(self) -> tuple[list[str], list[str]]:
        if self.rng.random() < 0.12:
            j = int(self.rng.integers(len(self.scene.stuff)))
            return [self.scene.stuff[j]], self.stuff_squares[j]
        item = self.scene.objects[int(self.rng.integers(len(self.scene.objects)))]
        names = ('place', 'size', 'texture', 'color', 'shape')
        picked = self.rng.permutation(5)[: int(self.rng.choice((1, 2, 3), p=(0.35, 0.45, 0.2)))]
        wanted = {names[k]: getattr(item, names[k]) for k in sorted(picked) if k}
        places = [p for p in PLACES if self._is_at(item, p)]
        if 0 in picked and places:
            wanted = {'place': (places[int(self.rng.integers(len(places)))],), **wanted}
        meant = referents(Expression(**wanted), self.scene) if wanted else None
        words = [value if isinstance(value, str) else value[0] for value in wanted.values()]
        return words, [s for i in sorted(meant or ()) for s in self.thing_squares[i]]

    def caption(self) -> Turn:
        """Every object with size, colour, shape and place, from left to right."""
        return language.CAPTION, language.caption(self.scene)

    def read_board(self) -> Turn:
        """What is on some random squares."""
        words = []
        for _ in range(6):
            index = int(self.rng.integers(-len(self.scene.stuff), len(self.scene.objects)))
            if self.rng.random() < 0.5:
                index = int(self.rng.integers(len(self.scene.objects)))
            squares = self.thing_squares[index] if index >= 0 else self.stuff_squares[-1 - index]
            if squares:
                words += [*self._some(squares, most=1), self._name(index), ',']
        return 'What is on some squares?', ' '.join([*words[:-1], '.'])

    def point(self) -> Turn | None:
        """Where one expression's object is."""
        found = language.random_references(self.rng, self.scene, 1, hard=0.5)
        if not found:
            return None
        squares = [s for i in found[0].objects for s in self.thing_squares[i]]
        return f'Where is {found[0].text}?', ' '.join(self._some(squares, most=4))

    def ask(self) -> Turn | None:
        """A question with a short answer."""
        found = language.questions(self.rng, self.scene, 1)
        return found[0] if found else None

    def _other_looks(self, reference: language.Reference) -> list[str]:
        item = self.scene.objects[reference.objects[0]]
        said = reference.text.split()
        looks = [item.size, item.texture, item.color, item.shape]
        unsaid = [look for look in looks if look not in said]
        kept = self.rng.permutation(len(unsaid))[: int(self.rng.integers(1, 3))]
        return [unsaid[i] for i in sorted(kept)]

    def _some(self, squares: list[str], most: int = 2) -> list[str]:
        if not squares:
            return []
        count = min(int(self.rng.integers(1, most + 1)), len(squares))
        return [squares[i] for i in self.rng.choice(len(squares), count, replace=False)]

    def _is_at(self, item: ToyObject, place: str) -> bool:
        index = self.scene.objects.index(item)
        return index in (referents(Expression(place=(place,)), self.scene) or ())

    def _name(self, index: int) -> str:
        if index < 0:
            return self.scene.stuff[-1 - index]
        item = self.scene.objects[index]
        return f'{item.size} {item.texture} {item.color} {item.shape}'
