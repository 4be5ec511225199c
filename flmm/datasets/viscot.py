"""VisCoT: questions with the box that holds the evidence, for visual chains of thought."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from flmm.registry import DATASETS
from flmm.structures import GroundingSample
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json, resolve_under_root

from .base import GroundingDataset, PackedRecords
from .transforms.base import Item, Transform

# The request for a box that ends every question of the format.
_REQUEST = re.compile(r'\s*Please (?:provide|give) the bounding box\b.*\Z', re.DOTALL)
_EVIDENCE = re.compile(r'(.+)###\[([^\[\]]*)\]\Z', re.DOTALL)


@DATASETS.register_module()
class VisCoTDataset(GroundingDataset):
    """Read one json set of VisCoT (``dataset, split, question_id, image, conversations``).

    ``image`` is ``[path, 'path###[x0, y0, x1, y1]']`` with the evidence box in pixels;
    ``conversations`` are question, box, image, answer. A sample has the question as its prompt
    and ``question``, ``answer``, ``box_xyxy`` in ``meta``; it has no phrases.

    Args:
        ann_file: The json.
        image_root: Folder that its paths are relative to.
        pipeline: Transforms, or their configs.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        pipeline: Iterable[dict | Transform] = (),
        name: str = 'viscot',
    ) -> None:
        super().__init__(name, pipeline)
        self.ann_file, self.image_root = ann_file, image_root
        content = load_json(ann_file)
        if not isinstance(content, list) or not content:
            raise AnnotationError(
                ann_file, 'expected a list of questions.', fix='Is it a json set of VisCoT?'
            )
        self._records = PackedRecords(content)

    def __len__(self) -> int:
        """Number of questions."""
        return len(self._records)

    def sample_id(self, index: int) -> str:
        """``name/index``."""
        return f'{self.name}/{index}'

    def read_sample(self, index: int) -> Item:
        """Question ``index``.

        Args:
            index: At least 0, less than the length.

        Returns:
            The sample.

        Raises:
            AnnotationError: The record is broken.
        """
        record = self._records[index]
        try:
            question, answer, path, box = _parse(record)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise AnnotationError(
                self.ann_file, f'{type(error).__name__} {error}.', key=f'[{index}]'
            ) from error
        return GroundingSample(
            self.sample_id(index),
            image_path=resolve_under_root(self.image_root, path),
            prompt=f'<image>\n{question}',
            meta={'question': question, 'answer': answer, 'box_xyxy': box},
        )


def _parse(record: dict[str, Any]) -> tuple[str, str, str, list[float]]:
    turns = record['conversations']
    if [turn['from'] for turn in turns] != ['human', 'gpt', 'human', 'gpt']:
        raise ValueError('conversations must be question, box, image, answer')
    question = _REQUEST.sub('', turns[0]['value'].replace('<image>', '')).strip()
    evidence = _EVIDENCE.fullmatch(record['image'][1])
    if not question or evidence is None:
        raise ValueError('it has no question, or no evidence box after "###"')
    box = [float(side) for side in evidence[2].split(',')]
    if len(box) != 4 or not (0 <= box[0] < box[2] < 1e6 and 0 <= box[1] < box[3] < 1e6):
        raise ValueError(f'the evidence box {box} is none')
    return question, turns[3]['value'].strip(), record['image'][0], box
