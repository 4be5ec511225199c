"""What is asked and annotated of a sample, and what a system answered, as lines of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flmm.structures import (
    ConversationPrediction,
    GroundingPrediction,
    GroundingSample,
    TextPiece,
    Turn,
)
from flmm.visualization.colours import Colour, phrase_colour
from flmm.visualization.panels import Word
from flmm.visualization.regions import region_words, turn_lines

Prediction = GroundingPrediction | ConversationPrediction

#: Colour of what a system wrote or chose; that of no phrase.
WRITTEN: Colour = (20, 84, 160)
#: Most annotated answers that are shown.
MOST_TRUTHS = 5


def sample_lines(sample: GroundingSample) -> list[list[Word]]:
    """A sample as annotated: its conversation, or its question, its text with phrases coloured.

    Args:
        sample: As its data set gives it, before a model hides anything.
    """
    choices = sample.meta.get('choices')
    if choices:  # they repeat what is asked
        return choice_lines(choices)
    lines = turn_lines(sample.turns)
    if not sample.turns and sample.pieces:
        lines = [piece_words(sample.pieces)]
    elif not sample.turns and sample.prompt:
        lines = [[Word(f'User: {sample.prompt}')]]
    said = {turn.answer for turn in sample.turns}
    truths = [text for text in annotated_answers(sample) if text not in said]
    return [*lines, *_truth_line(truths)]


def answer_lines(prediction: Prediction) -> list[list[Word]]:
    """A prediction: what was asked, what the system wrote or chose, what is annotated.

    Args:
        prediction: Of any system; one that wrote nothing shows its sample.
    """
    sample = prediction.sample
    chosen = getattr(prediction, 'choices', {})
    if chosen:
        scores = prediction.scores
        return choice_lines(sample.meta.get('choices', {}), chosen, scores)
    written = getattr(prediction, 'answers', []) or [prediction.text]
    if not any(written) and isinstance(prediction, GroundingPrediction):
        return sample_lines(sample)
    truths = annotated_answers(sample)
    if sample.turns:
        lines, hidden = _answered(sample.turns, written)
        truths = [*hidden, *(text for text in truths if text not in hidden)]
    elif sample.pieces and sample.text.split() == prediction.text.split():
        # A system that grounds its own answer: the phrases are in it.
        lines = [piece_words(sample.pieces)]
    else:
        lines = [[Word(f'User: {sample.prompt}')]] if sample.prompt else []
        lines.append(_wrote(prediction.text))
        if sample.pieces:
            lines.append([Word('Annotated:'), *piece_words(sample.pieces)])
    return [*lines, *_truth_line(truths)]


def piece_words(pieces: Sequence[TextPiece]) -> list[Word]:
    """Pieces of a text, each phrase in its colour."""
    return [
        Word(piece.text, None if piece.phrase < 0 else phrase_colour(piece.phrase))
        for piece in pieces
        if piece.text.strip()
    ]


def annotated_answers(sample: GroundingSample) -> list[str]:
    """What ``meta`` holds as right answers to the last question.

    Args:
        sample: Of a data set with ``references`` (captions) or ``answers``, or with a benchmark's
            question; others have none.
    """
    meta = {**sample.meta, **sample.meta.get('truth', {})}
    found = meta['vqa'].get('answer') if 'vqa' in meta else meta.get('references')
    found = meta.get('answers') if found is None else found
    if found is None:
        return []
    return [str(text) for text in found] if isinstance(found, (list, tuple)) else [str(found)]


def choice_lines(
    groups: Mapping[str, Mapping[str, Any]],
    chosen: Mapping[str, int] | None = None,
    scores: Mapping[str, Sequence[float]] | None = None,
) -> list[list[Word]]:
    """Questions with candidates: of each its last request and a line for every candidate.

    Args:
        groups: ``meta['choices']`` of a sample.
        chosen: Of each question the candidate that was taken.
        scores: Of each question how likely every candidate is (mean log likelihood).
    """
    lines = []
    for name, group in groups.items():
        lines.append(region_words(f'{name}: {group["turns"][-1][0]}'))
        for index, candidate in enumerate(group['candidates']):
            text = f'{"✓" if index == group["label"] else "·"} {candidate}'
            if scores and name in scores:
                text += f' ({scores[name][index]:.2f})'
            taken = chosen is not None and chosen.get(name) == index
            lines.append([Word(f'{text} ← chosen', WRITTEN) if taken else Word(text)])
    return lines


def _answered(turns: Sequence[Turn], written: Sequence[str]) -> tuple[list[list[Word]], list[str]]:
    """The turns with the written answers in their places, and the annotated ones they stand for."""
    places = [index for index, turn in enumerate(turns) if turn.answer is None]
    # A system that reads the annotated turns answers the last one, whose answer it is not shown.
    places = (places or [len(turns) - 1])[-len(written) :]
    shown = list(turns)
    for index, text in zip(places, written, strict=False):
        shown[index] = replace(turns[index], answer=text or '(nothing)')
    lines = turn_lines(shown)
    for index in places:
        lines[2 * index + 1] = _wrote(shown[index].answer)
    return lines, [turns[index].answer for index in places if turns[index].answer]


def _wrote(text: str) -> list[Word]:
    return [Word('Assistant wrote:'), Word(text or '(nothing)', WRITTEN)]


def _truth_line(texts: Sequence[str]) -> list[list[Word]]:
    texts = list(dict.fromkeys(text for text in texts if text))
    if not texts:
        return []
    more = f' and {len(texts) - MOST_TRUTHS} more' if len(texts) > MOST_TRUTHS else ''
    return [[Word(f'Annotated: {" | ".join(texts[:MOST_TRUTHS])}{more}')]]
