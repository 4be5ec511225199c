"""PointQA (arXiv 2011.13681): questions about what a point or box shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from flmm.registry import DATASETS
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .instruction import (
    Chooser,
    Instruction,
    InstructionDataset,
    box_part,
    mark_part,
    point_part,
    sides,
)
from .transforms.base import Transform

_LEVELS = ('obj_question', 'super_question', 'general_question')


class _PointQA(InstructionDataset):
    """What both kinds share."""

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        shown: Literal['box', 'point'],
        pipeline: Iterable[dict | Transform],
        seed: int,
        name: str,
    ) -> None:
        if shown not in ('box', 'point'):
            raise ValueError(f"shown must be 'box' or 'point', got {shown!r}.")
        self.shown = shown
        content = load_json(ann_file)
        if not isinstance(content, list):
            raise AnnotationError(
                ann_file,
                f'expected a list of questions, got {type(content).__name__}.',
                fix='tools/prepare_data/derive_pink.py makes it of the official files.',
            )
        super().__init__(ann_file, content, image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str:
        """``<id>.jpg``."""
        return f'{record["id"]}.jpg'

    def _ask(self, question: str, box: dict, point: dict, answer: str, **truth: Any) -> Instruction:
        if self.shown == 'box':
            shown = box_part(sides(box))
        else:
            shown = point_part((point['x'], point['y']))
        asked = [question, ' ', mark_part('loc', shown)]
        return Instruction('', {'question': asked}, [answer], truth={'answers': [answer], **truth})


@DATASETS.register_module()
class PointQALocalDataset(_PointQA):
    """Read local questions: ``id, question, all_objs`` (box), ``points`` (point and answer).

    Args:
        ann_file: Made by :func:`flmm.datasets.derived_files.pointqa_local`.
        image_root: Folder of Visual Genome's images.
        shown: Whether the question shows the box (as in training) or the point.
        pipeline: Transforms, or their configs.
        seed: Not used; nothing is random.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        shown: Literal['box', 'point'] = 'box',
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'pointqa_local',
    ) -> None:
        super().__init__(ann_file, image_root, shown, pipeline, seed, name)

    def draw(self, record: Any, chooser: Chooser) -> Instruction:
        """The question at its box or point."""
        point = record['points']
        return self._ask(record['question'], record['all_objs'], point, point['ans'])


@DATASETS.register_module()
class PointQALookTwiceDataset(_PointQA):
    """Read look-twice questions: three wordings of "how many of these are there".

    Args:
        ann_file: Made by :func:`flmm.datasets.derived_files.pointqa_look_twice`.
        image_root: Folder of Visual Genome's images.
        shown: Whether the question shows the box (as in training) or the point.
        level: ``obj_question``, ``super_question`` or ``general_question``; None draws one.
        pipeline: Transforms, or their configs.
        seed: Of the drawn wording.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        shown: Literal['box', 'point'] = 'box',
        level: str | None = None,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'pointqa_look_twice',
    ) -> None:
        if level not in (None, *_LEVELS):
            raise ValueError(f'level must be one of {_LEVELS}, got {level!r}.')
        self.level = level
        super().__init__(ann_file, image_root, shown, pipeline, seed, name)

    def draw(self, record: Any, chooser: Chooser) -> Instruction:
        """One wording of the question at its box or point."""
        level = self.level or chooser.choose(_LEVELS)
        return self._ask(record[level], record['bbox'], record['point'], record['ans'])
