"""Objects365 with captions that a model wrote and confirmed itself (Pink's bootstrapping)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flmm.registry import DATASETS
from flmm.utils.json_lines import read_json_lines

from .instruction import Chooser, Instruction, InstructionDataset
from .object_tasks import (
    NamedBox,
    ask_coarse_location,
    ask_counting,
    ask_detection,
    ask_for_box,
    ask_for_description,
)
from .transforms.base import Transform

TASKS = ('coarse_location', 'region_caption', 'grounding', 'detection', 'counting')
#: Also possible: a caption of the whole image.
MORE_TASKS = ('caption',)


@DATASETS.register_module()
class Objects365Dataset(InstructionDataset):
    """Read the lines that the self-consistency filter writes (``tools/bootstrap.py``).

    A line has ``image_id`` (file of the image), ``anno`` (objects with ``bbox`` as ``xyxy``,
    ``category_name``, ``ignore``), ``pred`` (kept captions with boxes) and ``generate_caption``.

    Args:
        ann_file: The file of lines.
        image_root: Folder of the images.
        tasks: Kinds of questions, some of ``TASKS`` and ``MORE_TASKS``. Those that need a kept
            caption are drawn again where an image has none.
        pipeline: Transforms, or their configs.
        seed: Of the random choices.
        name: First part of every ``sample_id``.

    Raises:
        ValueError: No such task.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        tasks: Sequence[str] = TASKS,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'objects365',
    ) -> None:
        if not tasks or set(tasks) - {*TASKS, *MORE_TASKS}:
            raise ValueError(f'tasks must be some of {TASKS + MORE_TASKS}, got {list(tasks)}.')
        self.tasks = tuple(tasks)
        super().__init__(ann_file, read_json_lines(ann_file), image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str:
        """As the line says."""
        return record['image_id']

    def draw(self, record: Any, chooser: Chooser) -> Instruction | None:
        """One question about an image."""
        kept = [(p['caption'], p['bbox']) for p in record['pred']]
        objects = [
            NamedBox((item['category_name'],), item['bbox'])
            for item in record['anno']
            if not item['ignore']
        ]
        caption = record.get('generate_caption') or ''
        possible = [task for task in self.tasks if self._is_possible(task, kept, objects, caption)]
        if not possible:
            return None
        task = chooser.choose(possible)
        if task == 'caption':
            return Instruction('caption', answer=[caption], truth={'references': [caption]})
        if task == 'detection':
            return ask_detection(objects, chooser)
        if task == 'counting':
            return ask_counting(objects, chooser)
        if task == 'coarse_location':
            return ask_coarse_location(objects, kept, chooser)
        text, box = chooser.choose(kept)
        if task == 'grounding':
            return ask_for_box(text, box)
        return ask_for_description(text, box, 'region_description')

    @staticmethod
    def _is_possible(task: str, kept: list, objects: list, caption: str) -> bool:
        if task in ('grounding', 'region_caption'):
            return bool(kept)
        # Images may have been bootstrapped without a caption of the whole.
        return bool(caption.strip()) if task == 'caption' else bool(objects)
