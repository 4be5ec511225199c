"""Lists of expressions with boxes, and RefCOCO's, as questions for a box or a description."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from flmm.registry import DATASETS
from flmm.structures import GroundingSample, Phrase
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .base import GroundingDataset
from .instruction import Chooser, Instruction, InstructionDataset
from .object_tasks import ask_for_box, ask_for_description
from .transforms.base import Item, Transform

Ask = Literal['box', 'description', 'both']


def ask_expression(text: str, box: list[float], ask: Ask, chooser: Chooser) -> Instruction:
    """Ask for the box of a text, for a text of the box, or for either at random."""
    if ask == 'both':
        ask = 'description' if chooser.chance(0.5) else 'box'
    if ask == 'description':
        return ask_for_description(text, box, 'region_description')
    return ask_for_box(text, box)


def _check_ask(ask: str) -> None:
    if ask not in ('box', 'description', 'both'):
        raise ValueError(f"ask must be 'box', 'description' or 'both', got {ask!r}.")


@DATASETS.register_module()
class ExpressionBoxesDataset(InstructionDataset):
    """Read a list of ``{image_id: file, sentence, bbox: xyxy}`` (Pink's REC files).

    Args:
        ann_file: The json, for example made of Visual Genome by
            :func:`flmm.datasets.derived_files.regions_as_expressions`.
        image_root: Folder of the images.
        ask: ``'box'``, ``'description'`` or ``'both'`` in turn at random.
        pipeline: Transforms, or their configs.
        seed: Of the random choices.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        ask: Ask = 'box',
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'expressions',
    ) -> None:
        _check_ask(ask)
        self.ask = ask
        content = load_json(ann_file)
        if not isinstance(content, list):
            raise AnnotationError(ann_file, f'expected a list, got {type(content).__name__}.')
        super().__init__(ann_file, content, image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str:
        """As the entry says."""
        return record['image_id']

    def draw(self, record: Any, chooser: Chooser) -> Instruction:
        """The expression, or its box, in question."""
        return ask_expression(record['sentence'], record['bbox'], self.ask, chooser)


@DATASETS.register_module()
class ReferringBoxes(InstructionDataset):
    """Any grounding data set whose phrases have boxes, as questions.

    Args:
        source: Config of the data set, such as ``RefCOCODataset(concat=False)``.
        ask: ``'box'``, ``'description'`` or ``'both'`` in turn at random.
        turns: Most phrases of a sample that are asked about, in one conversation. With 1,
            samples must have one phrase: ``concat=False``.
        per_object: Most of them that mean one object (``ann_id``). An earlier turn about it would
            tell its box, unless turns do not see each other (``Pink(turns_apart=True)``).
        pipeline: Transforms, or their configs.
        seed: Of the random choices.
        name: First part of every ``sample_id``; by default the source's.
    """

    def __init__(
        self,
        source: dict | GroundingDataset,
        ask: Ask = 'box',
        turns: int = 1,
        per_object: int = 1,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        _check_ask(ask)
        self.ask, self.turns, self.per_object = ask, turns, per_object
        self.source = DATASETS.build(source) if isinstance(source, dict) else source
        own = name or self.source.name
        super().__init__(own, range(len(self.source)), '', own, pipeline, seed)

    @property
    def metainfo(self) -> dict[str, Any]:
        """The source's protocol."""
        return {**self.source.metainfo, 'dataset': self.name}

    def sample_id(self, index: int) -> str:
        """The source's own id."""
        return self.source.sample_id(index)

    def set_epoch(self, epoch: int) -> None:
        """Tell the source, too."""
        super().set_epoch(epoch)
        self.source.set_epoch(epoch)

    def image_name(self, record: Any) -> None:
        """None: the source's samples know their images."""

    def draw(self, record: Any, chooser: Chooser) -> list[Instruction]:
        """The phrases, or their boxes, in question."""
        return self._ask(self.source.read_sample(record).phrases, chooser)

    def _ask(self, phrases: Sequence[Phrase], chooser: Chooser) -> list[Instruction]:
        if self.turns > 1:
            times: Counter[Any] = Counter()
            chosen = []
            for number, phrase in enumerate(chooser.shuffled(phrases)):
                key = phrase.meta.get('ann_id', f'phrase {number}')
                times[key] += 1
                if times[key] <= self.per_object:
                    chosen.append(phrase)
            phrases = chosen[: self.turns]
        return [
            ask_expression(phrase.text, phrase.meta['box_xyxy'], self.ask, chooser)
            for phrase in phrases
        ]

    def read_repetition(self, index: int, repetition: int) -> Item:
        """See :meth:`InstructionDataset.read_repetition`; image and ids are the source's."""
        sample = self.source.read_sample(index)
        if not isinstance(sample, GroundingSample):
            return sample
        without = [p.text for p in sample.phrases if 'box_xyxy' not in p.meta]
        if without or not sample.phrases or (self.turns == 1 and len(sample.phrases) > 1):
            raise AnnotationError(
                self.name,
                f'{sample.sample_id} has {len(sample.phrases)} phrases, {len(without)} of them '
                f'without a box; expected {"one" if self.turns == 1 else "some"}, with a box.',
                fix='Set concat=False in the source, or ask in several turns.',
            )
        sample_id = self.sample_id(index) + (f'#{repetition}' if repetition else '')
        key = f'{self.seed}/{int(self._epoch)}/{sample_id}'
        drawn = self._ask(sample.phrases, Chooser(random.Random(key)))
        made = self.make_sample(sample_id, None, drawn, key)
        made.image_path = sample.image_path
        made.meta = {**sample.meta, **made.meta}
        if made.phrases and self.turns == 1:
            made.phrases = sample.phrases
        return made
