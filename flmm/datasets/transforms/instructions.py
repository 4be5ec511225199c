"""Instructions -> turns in words -> the LMM's inputs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample, LMMInputs, SkippedSample, Turn
from flmm.utils.box_codec import BoxCodec
from flmm.utils.marks import marked

from ..questions import QUESTIONS, fill_in, load_questions
from .base import Item, Transform


@TRANSFORMS.register_module()
class WriteTurns(Transform):
    """Put ``meta['instructions']`` into words: questions, marks, coordinates.

    Put it after ``LoadImage``: coordinates are shares of the image's size.

    Args:
        questions: Sentences by name, or a file of them (see
            :mod:`flmm.datasets.questions`); None for this project's own.
        marks: Write Pink's mark tokens around what is pointed at; without them open questions
            are asked with a plain request for few words.
        dialect: How boxes are written, see :class:`flmm.utils.box_codec.BoxCodec`; or the config
            of something with ``box_text``, such as ``CrayonBoxes``.
        choose: ``'random'`` sentence for each draw (training), or always the ``'first'``
            (evaluation: the same question in every run).
    """

    def __init__(
        self,
        questions: Mapping[str, Sequence[str]] | str | None = None,
        marks: bool = True,
        dialect: str | dict[str, Any] = 'normalised',
        choose: Literal['random', 'first'] = 'random',
    ) -> None:
        if choose not in ('random', 'first'):
            raise ValueError(f"choose must be 'random' or 'first', got {choose!r}.")
        if isinstance(questions, str):
            questions = load_questions(questions)
        self.questions = questions or QUESTIONS
        self.marks, self.choose = marks, choose
        self.codec = BoxCodec(dialect) if isinstance(dialect, str) else TRANSFORMS.build(dialect)

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Fill ``turns``.

        Args:
            sample: With ``meta['instructions']`` and ``ori_shape`` (or no image at all).

        Returns:
            The sample with ``turns``; the instructions are dropped from ``meta``.
        """
        instructions = sample.meta.pop('instructions', None)
        if instructions is None:
            raise ValueError(
                f'Sample {sample.sample_id} has no instructions: is its data set one of questions?'
            )
        rng = random.Random(f'{sample.meta.get("draw_key", "")}/question')
        shape = sample.ori_shape or (1, 1)
        sample.turns = [self.turn(instruction, shape, rng) for instruction in instructions]
        return sample

    def turn(
        self, instruction: Mapping[str, Any], shape: tuple[int, int], rng: random.Random
    ) -> Turn:
        """Put one instruction into words.

        Args:
            instruction: An :class:`flmm.datasets.instruction.Instruction` as a dict.
            shape: ``(H, W)`` of the image.
            rng: Draws the sentence.
        """
        fields = {
            name: self.words(parts, shape, self.marks)
            for name, parts in instruction['fields'].items()
        }
        if instruction['bare'] is not None and not self.marks:
            request = instruction['bare']
        elif not instruction['template']:
            request = fields['question']
        else:
            sentences = self.questions[instruction['template']]
            sentence = sentences[0] if self.choose == 'first' else rng.choice(sentences)
            request = fill_in(sentence, fields)
        answer = instruction['answer']
        # Marks are the questions' alone; answers are written without.
        return Turn(request, None if answer is None else self.words(answer, shape, False))

    def words(self, parts: Sequence[Any], shape: tuple[int, int], marks: bool) -> str:
        """Write a rich text (:mod:`flmm.datasets.instruction`)."""
        return ''.join(self._part(part, shape, marks) for part in parts)

    def _part(self, part: Any, shape: tuple[int, int], marks: bool) -> str:
        if isinstance(part, str):
            return part
        if 'box' in part:
            return self.codec.box_text(tuple(part['box']), shape)
        if 'point' in part:
            return self.codec.point_text(tuple(part['point']), shape)
        inner = self.words(part['parts'], shape, marks)
        return marked(part['mark'], inner) if marks else inner


@TRANSFORMS.register_module()
class TurnAsPrompt(Transform):
    """Ask the only turn as the prompt: for LMMs whose processor reads a single one.

    Behind ``WriteTurns``, before ``PrepareLMMInputs``; for evaluation and for bootstrapping.

    Args:
        image: What names the image, before the request.
    """

    def __init__(self, image: str = '<image>\n') -> None:
        self.image = image

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Fill ``prompt``; the answer is left away.

        Args:
            sample: With one turn.

        Raises:
            ValueError: It has several turns, or none.
        """
        if len(sample.turns) != 1:
            raise ValueError(
                f'Sample {sample.sample_id} has {len(sample.turns)} turns; expected one question.'
            )
        (turn,) = sample.turns
        sample.prompt = turn.request if sample.image is None else self.image + turn.request
        sample.turns = []
        return sample


@TRANSFORMS.register_module()
class PrepareDialogue(Transform):
    """Run the LMM's dialogue processor on ``turns``.

    Args:
        processor: Config of a :class:`flmm.models.lmms.DialogueProcessor`, or one.
        longest: Samples with more tokens are skipped as ``too_long``; None keeps all. The release
            takes ``max_length - 20`` and puts another sample in the place.
    """

    def __init__(
        self,
        processor: dict[str, Any] | Callable[[GroundingSample], LMMInputs],
        longest: int | None = None,
    ) -> None:
        self.processor = MODELS.build(processor) if isinstance(processor, dict) else processor
        self.longest = longest

    def transform(self, sample: GroundingSample) -> Item:
        """Fill ``lmm_inputs``.

        Args:
            sample: With ``turns``, and ``image`` if it is about one.

        Returns:
            The sample, or a ``SkippedSample`` where it is too long.
        """
        inputs = self.processor(sample)
        if self.longest is not None and len(inputs.input_ids) > self.longest:
            return SkippedSample(
                sample.sample_id,
                'too_long',
                f'{len(inputs.input_ids)} tokens, more than {self.longest}',
                tuple(sample.phrases),
            )
        sample.lmm_inputs = inputs
        return sample
