"""LLaVA's conversations: the 150 k instruction data, and its 595 k captions of CC3M."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flmm.registry import DATASETS
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .instruction import Chooser, Instruction, InstructionDataset
from .transforms.base import Transform


@DATASETS.register_module()
class LLaVAInstructDataset(InstructionDataset):
    """Read ``llava_instruct_150k.json`` or the pretraining set's ``chat.json``.

    A list of ``{image, conversations: [{from: human | gpt, value}, ...]}``; entries without
    ``image`` are talk without one. ``<image>`` is taken out of the requests: where the image
    stands is the chat template's business.

    Args:
        ann_file: The json.
        image_root: Folder that ``image`` is relative to.
        captions_only: Only the first answer, without a request (stage 1).
        trim: Leave out an answer at the beginning and a request at the end that nobody asked or
            answered, and the lines around the image's place, as LLaVA-1.5 does; its mix of 665 k
            has such talk. Else the turns are an error, and the lines stay (Pink's release).
        pipeline: Transforms, or their configs.
        seed: Of the choice of templates.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        captions_only: bool = False,
        trim: bool = False,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'llava_instruct',
    ) -> None:
        self.captions_only, self.trim = captions_only, trim
        content = load_json(ann_file)
        if not isinstance(content, list):
            raise AnnotationError(
                ann_file, f'expected a list of conversations, got {type(content).__name__}.'
            )
        super().__init__(ann_file, content, image_root, name, pipeline, seed)

    def image_name(self, record: Any) -> str | None:
        """As the entry says; None without one."""
        return record.get('image')

    def draw(self, record: Any, chooser: Chooser) -> list[Instruction]:
        """All turns of a conversation, or its first answer alone."""
        turns = record['conversations']
        if self.trim:
            turns = turns[turns[0]['from'] == 'gpt' :]
            turns = turns[: len(turns) - len(turns) % 2]
            if not turns:
                raise ValueError('conversations hold no request with an answer')
        if [turn['from'] for turn in turns] != ['human', 'gpt'] * (len(turns) // 2):
            raise ValueError('conversations must alternate between human and gpt')
        pairs = zip(turns[::2], turns[1::2], strict=True)
        found = [
            Instruction('', {'question': [self._question(request['value'])]}, [answer['value']])
            for request, answer in pairs
        ]
        if self.captions_only:
            return [Instruction('', {'question': ['']}, found[0].answer)]
        return found

    def _question(self, text: str) -> str:
        text = text.replace('<image>', '')
        return text.strip() if self.trim else text
