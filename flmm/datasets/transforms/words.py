"""Phrases -> words that can be located."""

from __future__ import annotations

from flmm.registry import TRANSFORMS
from flmm.structures import GroundingSample, TextPiece
from flmm.utils.word_tokens import word_spans

from .base import Transform


@TRANSFORMS.register_module()
class LastWords(Transform):
    """Let the last word of each phrase stand for it; its other words become plain text.

    A phrase is located by its last word, the first that has read all of it. Panoptic Narrative
    Grounding's phrases then are the nouns of Localized Narratives with their objects' masks.
    """

    def transform(self, sample: GroundingSample) -> GroundingSample:
        """Split ``pieces``; phrases keep their masks, and their text in ``meta['phrase']``.

        Args:
            sample: With ``pieces`` and ``phrases``.

        Returns:
            The sample. Of a phrase in several pieces the last word of the last one stands for it.
        """
        last = {piece.phrase: k for k, piece in enumerate(sample.pieces) if piece.text.strip()}
        pieces: list[TextPiece] = []
        for number, piece in enumerate(sample.pieces):
            if piece.phrase < 0:
                pieces.append(piece)
                continue
            if last.get(piece.phrase) != number:
                pieces.append(TextPiece(piece.text))
                continue
            start, end = word_spans(piece.text)[-1]
            phrase = sample.phrases[piece.phrase]
            phrase.meta = {**phrase.meta, 'phrase': phrase.text}
            phrase.text = piece.text[start:end]
            before, after = piece.text[:start], piece.text[end:]
            # Pieces are joined with a space unless the tokens are joint.
            if not sample.joint_tokens:
                before, after = before.rstrip(), after.lstrip()
            pieces += [TextPiece(before)] if before else []
            pieces.append(TextPiece(phrase.text, piece.phrase))
            pieces += [TextPiece(after)] if after else []
        sample.pieces = pieces
        return sample
