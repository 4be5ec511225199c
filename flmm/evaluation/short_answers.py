"""Scores of short answers as VQAv2, GQA and Pink's other benchmarks count them.

Pure functions on texts. The normalisation is that of the VQA evaluation, with which VQAv2, OKVQA
and (in Pink) GQA are scored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_NUMBER_WORDS = dict(
    zip(
        'none zero one two three four five six seven eight nine ten'.split(),
        ['0', *map(str, range(11))],
        strict=True,
    )
)
_ARTICLES = {'a', 'an', 'the'}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r'\d,\d')
# A full stop is dropped unless a digit follows; VQA's own pattern means to say so, too.
_FULL_STOP = re.compile(r'\.(?!\d)')
# The last dot is any character, as in the release: "The answer is A," counts.
_CHOICE = re.compile(r'The answer is ([A-Z]).')
# Contractions that people type without the apostrophe, by their ending.
_WITHOUT = {
    "n't": 'ai are ca could did do does had has have is might must need ought sha should was were '
    'wo would',
    "'ve": 'could i might must not should they we what where who would you',
    "'re": 'there they what why you',
    "'ll": 'how it somebody someone something they what who why you',
    "'d": 'he how it someone something there they where who you',
    "'s": 'he how somebody someone that there what when where who why',
    "'m": 'i',
}
_CONTRACTIONS = {
    (stem + ending).replace("'", ''): stem + ending
    for ending, stems in _WITHOUT.items()
    for stem in stems.split()
} | {'maam': "ma'am", 'oclock': "o'clock", 'twas': "'twas", 'yall': "y'all"}
# VQA's list writes these with a capital and looks up lower-case words: they never match.
for _never in ('im', 'ive'):
    del _CONTRACTIONS[_never]


def strip_punctuation(text: str) -> str:
    """Drop punctuation as the VQA evaluation does.

    A mark is removed where it stands beside a space anywhere in the text (or a number has a
    comma), else it becomes a space; full stops go unless a digit follows.
    """
    result = text
    comma = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        beside_space = f'{mark} ' in text or f' {mark}' in text
        result = result.replace(mark, '' if beside_space or comma else ' ')
    return _FULL_STOP.sub('', result)


def spell_alike(text: str) -> str:
    """Lower case, number words as digits, no articles, contractions with their apostrophe."""
    words = [_NUMBER_WORDS.get(word, word) for word in text.lower().split()]
    return ' '.join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(answer: str, truths: Sequence[str], always_normalise: bool = True) -> float:
    """Agreement with annotators: the mean over them of ``min(1, others who said the same / 3)``.

    Args:
        answer: What the model said.
        truths: One answer per annotator, at least one.
        always_normalise: Normalise answers and truths in any case, as the evaluation server
            does. False is the original script (and Pink's): where all annotators agree, nothing
            is normalised ("two" is wrong where all said "2"), and truths keep their articles.

    Returns:
        0..1.

    Raises:
        ValueError: No truths.
    """
    if not truths:
        raise ValueError('vqa_accuracy needs at least one annotated answer.')
    answer = answer.replace('\n', ' ').replace('\t', ' ').strip()
    truths = [truth.replace('\n', ' ').replace('\t', ' ').strip() for truth in truths]
    disagree = len(set(truths)) > 1
    if always_normalise:
        truths = [spell_alike(strip_punctuation(truth)) for truth in truths]
    elif disagree:
        truths = [strip_punctuation(truth) for truth in truths]
    if always_normalise or disagree:
        answer = spell_alike(strip_punctuation(answer))
    if len(truths) == 1:  # no other annotator to agree with
        return float(answer == truths[0])
    agreeing = sum(truth == answer for truth in truths)
    scores = [min(1.0, (agreeing - (truth == answer)) / 3) for truth in truths]
    return sum(scores) / len(scores)


def is_most_common_answer(answer: str, truths: Sequence[str]) -> bool:
    """Whether the answer is the annotators' most frequent one, normalised as the original does."""
    most_common = Counter(truths).most_common(1)[0][0]
    if len(set(truths)) > 1:
        most_common = strip_punctuation(most_common)
        answer = spell_alike(strip_punctuation(answer))
    return answer == most_common


def gqa_match(answer: str, short: str, full: str = '') -> tuple[bool, bool]:
    """Whether an answer is right for GQA.

    Args:
        answer: What the model said.
        short: The annotated word.
        full: The annotated sentence; ``''`` for none.

    Returns:
        Exactly equal to one of them after normalising; equal, or contained either way (the
        lenient score of Pink's release, which also accepts a single letter).
    """
    said, *truths = [
        strip_punctuation(spell_alike(text.lower())) for text in (answer, short, full or short)
    ]
    exact = said in truths
    # Nothing is contained in everything.
    pairs = [(said, truth) for truth in truths if said and truth]
    return exact, exact or any(one in other or other in one for one, other in pairs)


def chosen_option(answer: str) -> int | None:
    """Index of the option that an answer names: exactly one ``The answer is X.``, else None."""
    letters = _CHOICE.findall(answer)
    return ord(letters[0]) - ord('A') if len(letters) == 1 else None


def yes_no_match(answer: str, truth: bool, strict: bool = True) -> bool:
    """Whether a yes/no answer is right.

    Args:
        answer: What the model said.
        truth: True for yes.
        strict: The first word must be yes or no. False is the release's rule: "yes" (for False:
            "no") anywhere in the text, so "I do not know" is a no.
    """
    if not strict:
        return ('yes' if truth else 'no') in answer.lower()
    first = re.match(r'\W*(\w+)', answer.lower())
    return first is not None and first[1] == ('yes' if truth else 'no')


def point_answer_match(answer: str, truth: str, fold_truth: bool = True) -> bool:
    """PointQA (local): equality in lower case; the release leaves the truth's case (False)."""
    return answer.lower() == (truth.lower() if fold_truth else truth)


def count_match(answer: str, truth: str) -> tuple[bool, bool]:
    """PointQA (look twice).

    Args:
        answer: A number as the model said it.
        truth: The annotated one.

    Returns:
        Equal; equal or both at least 2 (the "option" score: one against many).
    """
    equal = answer == truth
    many = all(text.isascii() and text.isdigit() and int(text[:9]) >= 2 for text in (answer, truth))
    return equal, equal or many


def majority(answers: Sequence[str]) -> str:
    """The most frequent answer; of equally frequent ones the first."""
    return Counter(answers).most_common(1)[0][0]
