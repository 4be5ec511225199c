"""Text: the user's turn, and what the LMM reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample, LMMInputs, SkippedSample

from .base import Item, Transform


@TRANSFORMS.register_module()
class AddPrompt(Transform):
    """Give samples the user's turn that comes before the text.

    Args:
        prompt: The turn; ``<image>`` stands for the image.
        overwrite: Also for samples that bring their own prompt.
    """

    def __init__(
        self, prompt: str = '<image>\nDescribe this picture.', overwrite: bool = False
    ) -> None:
        self.prompt = prompt
        self.overwrite = overwrite

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Set ``prompt`` where it is empty.

        Args:
            sample: Any sample.

        Returns:
            The sample with ``prompt``.
        """
        if self.overwrite or not sample.prompt:
            sample.prompt = self.prompt
        return sample


@TRANSFORMS.register_module()
class PrepareLMMInputs(Transform):
    """Run the LMM's processor: the only step that knows which LMM it is.

    A phrase of the text that got no token stays in ``phrases`` and is noted in ``dropped`` as
    ``truncated``: training ignores it, prediction leaves its mask empty. If that is all of
    them, the sample is skipped as ``all_phrases_truncated``.

    Args:
        processor: Config of an ``LMMProcessor``, or anything that maps a sample to
            ``LMMInputs``.
    """

    def __init__(self, processor: dict[str, Any] | Callable[[GroundingSample], LMMInputs]) -> None:
        self.processor = MODELS.build(processor) if isinstance(processor, dict) else processor

    def transform(self, sample: GroundingSample) -> Item:
        """Fill ``lmm_inputs``.

        Args:
            sample: With ``prompt``, ``pieces`` and ``image``.

        Returns:
            The sample with ``lmm_inputs``, or a ``SkippedSample``.
        """
        inputs = self.processor(sample)
        present = set(inputs.phrase_indices)
        # Others are the answers to questions, which are boxes to be scored.
        written = {piece.phrase for piece in sample.pieces if piece.phrase >= 0}
        if written and not present:
            return SkippedSample(
                sample.sample_id,
                'all_phrases_truncated',
                f'none of the {len(sample.phrases)} phrases has a token among the '
                f'{len(inputs.input_ids)} kept; is max_length too short?',
                tuple(sample.phrases),
            )
        sample.lmm_inputs = inputs
        sample.dropped += [
            (phrase.text, 'truncated')
            for index, phrase in enumerate(sample.phrases)
            if index in written - present
        ]
        return sample
