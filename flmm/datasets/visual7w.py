"""Visual7W: questions whose four choices are boxes (pointing) or texts (telling)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flmm.registry import DATASETS
from flmm.utils.safe_io import load_json

from .choice import ask_choice
from .derived_files import visual7w_splits
from .instruction import Chooser, Instruction, InstructionDataset, location, sides
from .transforms.base import Transform


@DATASETS.register_module()
class Visual7WDataset(InstructionDataset):
    """Read ``dataset_v7w_pointing.json``, ``dataset_v7w_telling.json``, or a split made of one.

    Args:
        ann_file: The official file (an object with ``images``), or a list of questions as
            :func:`flmm.datasets.derived_files.visual7w_splits` makes them.
        image_root: Folder of the images.
        split: Of the official file: ``train``, ``val`` or ``test``.
        pipeline: Transforms, or their configs.
        seed: Of the order of the choices, which is drawn at evaluation, too: the files name the
            right one apart.
        name: First part of every ``sample_id``.

    Raises:
        ValueError: There is no such split.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        split: str = 'train',
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'visual7w',
    ) -> None:
        content = load_json(ann_file)
        questions = content
        if isinstance(content, dict):
            splits = visual7w_splits(content)
            if split not in splits:
                raise ValueError(f'split must be one of {sorted(splits)}, got {split!r}.')
            questions = splits[split]
        super().__init__(ann_file, questions, image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str:
        """As the file says."""
        return record['file_name']

    def draw(self, record: Any, chooser: Chooser) -> Instruction:
        """The question with its choices in a new order."""
        if 'answer_box' in record:
            boxes = [*record['multiple_choices_box'], record['answer_box']]
            options = [[location(sides(box, 'width', 'height'))] for box in boxes]
        else:
            options = [[text] for text in [*record['multiple_choices'], record['answer']]]
        order = chooser.shuffled(range(len(options)))
        right = order.index(len(options) - 1)
        return ask_choice(record['question'], [options[i] for i in order], right)
