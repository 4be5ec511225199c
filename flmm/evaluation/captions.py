"""Scores of captions: BLEU, ROUGE-L, CIDEr and a METEOR without Java; METEOR and SPICE with it.

The scorers are those of pycocoevalcap, with which published numbers are made. Its tokenizer is a
Java program; :func:`tokenize_caption` gives the same words for ordinary English without it.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from flmm.utils.errors import FLMMError

#: Name -> keys that it gives.
CAPTION_METRICS = {
    'bleu': ('bleu_1', 'bleu_2', 'bleu_3', 'bleu_4'),
    'rouge_l': ('rouge_l',),
    'cider': ('cider',),
    'meteor': ('meteor',),
    # Without synonyms and paraphrases, so lower than `meteor`; see flmm.evaluation.meteor.
    'meteor_stems': ('meteor_stems',),
    'spice': ('spice',),
}
JAVA_METRICS = ('meteor', 'spice')
DEFAULT_METRICS = ('bleu', 'rouge_l', 'cider')

_BRACKETS = {'(': '-lrb-', ')': '-rrb-', '[': '-lsb-', ']': '-rsb-', '{': '-lcb-', '}': '-rcb-'}
# What pycocoevalcap drops after tokenising (its list is upper case for brackets, so that lower
# case ones stay; kept as it is, since published numbers count them).
_DROPPED = frozenset("'' ' `` ` . ? ! , : - -- ... ;".split())
_SPLIT_WORDS = {'cannot': 'can not', 'gonna': 'gon na', 'gotta': 'got ta', 'wanna': 'wan na'}
_TOKEN = re.compile(
    r"""<[^<>\s]+>                              # tags are words
    | (?:[a-z]\.){2,}                           # u.s.  p.m.
    | (?:mr|mrs|ms|dr|st|jr|sr|vs|etc|inc)\.    # abbreviations keep their full stop
    | n't\b | '(?:s|m|d|re|ve|ll)\b             # second halves of contractions
    | \d+(?:[.,:]\d+)+                          # 3.5  1,000  10:30
    | [^\W_]+(?:[-/_][^\W_]+)+                  # black-and-white  dog/cat
    | [^\W_]+?(?=n't\b)                         # do|n't
    | [^\W_]+
    | \.\.\.+ | --+ | [?!]+
    | \S""",
    re.VERBOSE,
)


def tokenize_caption(text: str) -> str:
    """Split a caption into lower-case words as Stanford's PTBTokenizer with coco-caption does.

    Args:
        text: Any text.

    Returns:
        The words with spaces between them, punctuation dropped.
    """
    text = text.replace('’', "'").replace('‘', "'").lower()
    words = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        word = _BRACKETS.get(word, _SPLIT_WORDS.get(word, word))
        if word not in _DROPPED and word not in '"“”':
            words.append('...' if word.startswith('....') else word)
    return ' '.join(words)


@cache
def missing_java() -> str:
    """Why METEOR and SPICE cannot run here; empty if they can."""
    java = shutil.which('java')
    if java is None:
        return 'METEOR and SPICE need Java 8 or later, and there is no "java" on the PATH'
    try:
        run = subprocess.run([java, '-version'], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'METEOR and SPICE need Java, but {java} does not run: {error}'
    return '' if run.returncode == 0 else f'METEOR and SPICE need Java, but {java} fails'


def _scorer(name: str) -> Any:
    try:
        if name == 'bleu':
            from pycocoevalcap.bleu.bleu import Bleu

            return Bleu(4)
        if name == 'rouge_l':
            from pycocoevalcap.rouge.rouge import Rouge

            return Rouge()
        if name == 'cider':
            from pycocoevalcap.cider.cider import Cider

            return Cider()
        if name == 'meteor':
            from pycocoevalcap.meteor.meteor import Meteor

            return Meteor()
        from pycocoevalcap.spice.spice import Spice

        return Spice()
    except ImportError as error:
        raise FLMMError(
            f"Caption scores need pycocoevalcap ({error}): pip install 'flmm[captions]'."
        ) from error


def caption_scores(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Score captions against their references.

    Args:
        predictions: One caption for each id; may be empty text.
        references: For the same ids, at least one caption each.
        metrics: Names in ``CAPTION_METRICS``.

    Returns:
        Scores of all (CIDEr as in the literature, 0..10; the others 0..1) and, where the metric
        has them, of each caption in the order of ``predictions``. CIDEr of a single image is 0:
        its word weights are the logarithm of the number of images.

    Raises:
        FLMMError: An unknown metric, other ids, an id without reference, or METEOR or SPICE
            without Java.
    """
    unknown = [name for name in metrics if name not in CAPTION_METRICS]
    if unknown:
        raise FLMMError(f'Unknown caption metric {unknown}; known: {sorted(CAPTION_METRICS)}.')
    if predictions.keys() != references.keys():
        raise FLMMError(
            f'{len(predictions)} captions for {len(references)} images: the ids differ, for '
            f'example {sorted(predictions.keys() ^ references.keys())[:3]}.'
        )
    bare = [key for key, texts in references.items() if not texts]
    if bare:
        raise FLMMError(f'No reference caption for {bare[:3]}; expected at least one.')
    if set(metrics) & set(JAVA_METRICS) and missing_java():
        raise FLMMError(f'{missing_java()}. Leave them out, or install a JRE (openjdk).')
    keys = [key for name in metrics for key in CAPTION_METRICS[name]]
    if not predictions:
        return dict.fromkeys(keys, math.nan), {key: [] for key in keys}
    hypotheses = {key: [tokenize_caption(text)] for key, text in predictions.items()}
    truths = {key: [tokenize_caption(text) for text in references[key]] for key in predictions}
    totals: dict[str, float] = {}
    singles: dict[str, list[float]] = {}
    for name in metrics:
        names = CAPTION_METRICS[name]
        if name == 'meteor_stems':
            from flmm.evaluation.meteor import meteor_scores  # which needs this module's tokenizer

            singles[name] = meteor_scores(
                list(predictions.values()), [references[key] for key in predictions]
            )
            totals[name] = sum(singles[name]) / len(singles[name])
            continue
        # The scorers print; that is no part of a result.
        with contextlib.redirect_stdout(io.StringIO()):
            total, each = _scorer(name).compute_score(truths, hypotheses)
        if name == 'bleu':
            totals |= {key: float(value) for key, value in zip(names, total, strict=True)}
            singles |= {key: [float(v) for v in row] for key, row in zip(names, each, strict=True)}
        else:
            totals[name] = float(total)
            if name != 'spice':  # gives dicts of propositions instead
                singles[name] = [float(value) for value in each]
    return totals, singles
