"""Benchmarks of lettered options: IconQA (choose_txt) and SEED-Bench (images)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flmm.registry import DATASETS
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .choice import LETTERS, ask_choice
from .instruction import Chooser, Instruction, InstructionDataset
from .transforms.base import Transform

#: SEED-Bench's question types 1 to 9 are about images, the others about videos.
SEED_IMAGE_TYPES = tuple(range(1, 10))


@DATASETS.register_module()
class IconQADataset(InstructionDataset):
    """Read a list of ``{image_id, question, choices, answer}`` (``answer`` is an index).

    Args:
        ann_file: The json, made by :func:`flmm.datasets.derived_files.iconqa_questions`.
        image_root: Folder with ``<image_id>/image.png`` (``iconqa/test/choose_txt``).
        pipeline: Transforms, or their configs.
        seed: Of the choice of templates.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'iconqa',
    ) -> None:
        content = load_json(ann_file)
        if not isinstance(content, list):
            raise AnnotationError(
                ann_file,
                f'expected a list, got {type(content).__name__}.',
                fix='tools/prepare_data/derive_pink.py iconqa makes it of the official folders.',
            )
        super().__init__(ann_file, content, image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str:
        """``<image_id>/image.png``."""
        return f'{record["image_id"]}/image.png'

    def draw(self, record: Any, chooser: Chooser) -> Instruction:
        """The question with its choices in their order."""
        options = [[str(text)] for text in record['choices']]
        return ask_choice(record['question'], options, record.get('answer'))


@DATASETS.register_module()
class SEEDBenchDataset(InstructionDataset):
    """Read ``SEED-Bench.json``: ``questions`` with ``data_id``, ``choice_a`` to ``choice_d``.

    Args:
        ann_file: The json.
        image_root: Folder of the images that ``data_id`` names.
        question_types: Of ``question_type_id``; the official ones about images by default.
        pipeline: Transforms, or their configs.
        seed: Of the choice of templates.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        question_types: Iterable[int] = SEED_IMAGE_TYPES,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'seed_bench',
    ) -> None:
        wanted, content = set(question_types), load_json(ann_file)
        try:
            kept = [q for q in content['questions'] if q['question_type_id'] in wanted]
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                ann_file, f'not in the format of SEED-Bench: {type(error).__name__} {error}.'
            ) from error
        super().__init__(ann_file, kept, image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str:
        """``data_id``."""
        return record['data_id']

    def draw(self, record: Any, chooser: Chooser) -> Instruction:
        """The question with its four choices in their order."""
        options = [[record[f'choice_{letter}']] for letter in 'abcd']
        return ask_choice(
            record['question'],
            options,
            LETTERS.index(record['answer']),
            group=str(record['question_type_id']),
        )
