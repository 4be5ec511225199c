"""Questions with answers about images whose boxes are written only when the image's size is known.

A rich text is a list whose parts are a string, ``{'box': [x0, y0, x1, y1]}`` or
``{'point': [x, y]}`` in pixels, or ``{'mark': 'des', 'parts': [...]}``: plain containers, so that
they travel from workers and pack into records.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch

from flmm.structures import GroundingSample, Phrase, SkippedSample
from flmm.utils.boxes import Box
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import resolve_under_root

from .base import GroundingDataset, PackedRecords
from .transforms.base import Item, Transform

T = TypeVar('T')
RichText = list[Any]


def box_part(box: Sequence[float]) -> dict[str, list[float]]:
    """Part of a rich text: a box in pixels.

    Raises:
        ValueError, OverflowError, TypeError: It is not four finite numbers.
    """
    return {'box': _finite(box, 4)}


def point_part(point: Sequence[float]) -> dict[str, list[float]]:
    """Part of a rich text: a point ``(x, y)`` in pixels.

    Raises:
        ValueError, OverflowError, TypeError: It is not two finite numbers.
    """
    return {'point': _finite(point, 2)}


def _finite(values: Sequence[float], count: int) -> list[float]:
    # Here, where a record is known to blame: as text is written, an error would end a training.
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ValueError(f'expected {count} finite numbers, got {values!r:.80}')
    return list(values)


def mark_part(mark: str, *parts: Any) -> dict[str, Any]:
    """Part of a rich text: other parts inside a mark."""
    return {'mark': mark, 'parts': list(parts)}


def location(box: Sequence[float]) -> dict[str, Any]:
    """A box as questions write it: inside the mark of locations."""
    return mark_part('loc', box_part(box))


@dataclass
class Instruction:
    """One exchange, before it is put into words.

    Attributes:
        template: Name of the list of question templates; ``''``: the field ``question`` is all.
        fields: What the template's placeholders stand for, as rich text.
        answer: Rich text; None where nobody knows it.
        bare: Question without template, for models trained without marks; None: the template.
        phrase: Text and box (pixels) that the answer should give, for REC; None for other tasks.
        truth: What a metric needs, plain.
    """

    template: str
    fields: dict[str, RichText] = field(default_factory=dict)
    answer: RichText | None = None
    bare: str | None = None
    phrase: tuple[str, list[float]] | None = None
    truth: dict[str, Any] = field(default_factory=dict)


class Chooser:
    """Makes the random choices of a data set; every choice goes through :meth:`choose`.

    Args:
        rng: Source of the choices.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def choose(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[self._pick(len(options))]

    def chance(self, share: float) -> bool:
        """True with a probability of ``share``."""
        return self._rng.random() < share

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """The items in a random order; the caller's list stays as it is."""
        left, result = list(items), []
        while left:
            result.append(left.pop(self._pick(len(left))))
        return result

    def _pick(self, count: int) -> int:
        if not count:
            raise IndexError('nothing to choose from')
        return self._rng.randrange(count)


class _Follow(Chooser):
    """Follows a path of choices and notes how many options there were."""

    def __init__(self, path: list[int]) -> None:
        self.path, self.counts = path, []

    def chance(self, share: float) -> bool:
        return bool(self._pick(2))

    def _pick(self, count: int) -> int:
        if not count:
            raise IndexError('nothing to choose from')
        place = len(self.counts)
        if place == len(self.path):
            self.path.append(0)
        self.counts.append(count)
        return self.path[place]


def every_choice(draw: Callable[[Chooser], T], limit: int = 100_000) -> Iterator[T]:
    """All results that a function of random choices can have, with repetitions.

    Args:
        draw: The function.
        limit: Most results; what is more is left out.

    Yields:
        One result per path of choices.
    """
    path: list[int] = []
    for _ in range(limit):
        follow = _Follow(path)
        yield draw(follow)
        path = path[: len(follow.counts)]
        while path and path[-1] + 1 >= follow.counts[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


class InstructionDataset(GroundingDataset):
    """Records of an annotation file, each of which gives exchanges about one image; abstract.

    What is random (which object, which order of options) depends on nothing but
    ``(seed, epoch, repetition, sample id)``.

    Args:
        ann_file: Named in errors.
        records: One per sample.
        image_root: Folder of the images.
        name: First part of every ``sample_id``.
        pipeline: Transforms, or their configs.
        seed: Of the random choices.
    """

    def __init__(
        self,
        ann_file: str,
        records: Iterable[Any],
        image_root: str,
        name: str,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(name, pipeline)
        self.ann_file, self.image_root, self.seed = ann_file, image_root, seed
        self.records = PackedRecords(records)
        if not len(self.records):
            raise AnnotationError(ann_file, 'holds no sample.')
        # In shared memory: workers that live on over epochs see what the main process sets.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @abstractmethod
    def image_name(self, record: Any) -> str | None:
        """File of a record's image below ``image_root``; None for a text without image."""

    @abstractmethod
    def draw(self, record: Any, chooser: Chooser) -> Instruction | list[Instruction] | None:
        """One exchange (or a whole conversation) about a record; None if it has none."""

    def set_epoch(self, epoch: int) -> None:
        """Draw other exchanges from now on.

        Args:
            epoch: Counted from 0.
        """
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Number of records."""
        return len(self.records)

    def sample_id(self, index: int) -> str:
        """``name/index``."""
        return f'{self.name}/{index}'

    def read_sample(self, index: int) -> Item:
        """One exchange about record ``index``; see :meth:`read_repetition`."""
        return self.read_repetition(index, 0)

    def read_repetition(self, index: int, repetition: int) -> Item:
        """One exchange about record ``index``.

        Args:
            index: At least 0, less than the length.
            repetition: How often the record came already in this epoch; each draws anew.

        Returns:
            A sample with ``meta['instructions']``, or a ``SkippedSample`` if it has none.

        Raises:
            AnnotationError: The record is broken.
        """
        record, sample_id = self.records[index], self.sample_id(index)
        if repetition:
            sample_id += f'#{repetition}'
        key = f'{self.seed}/{int(self._epoch)}/{sample_id}'
        drawn = self._guarded(index, lambda: self.draw(record, Chooser(random.Random(key))))
        if not drawn:
            return SkippedSample(sample_id, 'no_phrase', 'the record has nothing to ask about')
        instructions = drawn if isinstance(drawn, list) else [drawn]
        image = self._guarded(index, lambda: self.image_name(record))
        return self.make_sample(sample_id, image, instructions, key)

    def make_sample(
        self, sample_id: str, image: str | None, instructions: list[Instruction], key: str
    ) -> GroundingSample:
        """A sample of exchanges.

        Args:
            sample_id: Its id.
            image: File below ``image_root``, None for none.
            instructions: In order.
            key: Seed of what a transform draws later (which template).
        """
        sample = GroundingSample(
            sample_id,
            image_path=None if image is None else resolve_under_root(self.image_root, image),
            meta={'instructions': [asdict(item) for item in instructions], 'draw_key': key},
        )
        sample.meta |= instructions[-1].truth
        if instructions[-1].phrase is not None:
            text, box = instructions[-1].phrase
            sample.phrases = [Phrase(text, meta={'box_xyxy': list(box)})]
        return sample

    def instructions(self, index: int) -> Iterator[Instruction | list[Instruction] | None]:
        """Everything that can be asked about record ``index``, with repetitions."""
        record = self.records[index]
        yield from every_choice(lambda chooser: self.draw(record, chooser))

    def _guarded(self, index: int, read: Callable[[], T]) -> T:
        try:
            return read()
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise AnnotationError(
                self.ann_file, f'{type(error).__name__} {error}.', key=f'[{index}]'
            ) from error


def sides(record: dict[str, float], width: str = 'w', height: str = 'h') -> list[float]:
    """``{x, y, w, h}`` of a file as ``[x0, y0, x1, y1]``."""
    x, y = record['x'], record['y']
    return [x, y, x + record[width], y + record[height]]


def area(box: Box | Sequence[float]) -> float:
    """Width times height."""
    return (box[2] - box[0]) * (box[3] - box[1])
