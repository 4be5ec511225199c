"""Scores of captions: of whole images, or of regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flmm.evaluation.captions import (
    CAPTION_METRICS,
    DEFAULT_METRICS,
    JAVA_METRICS,
    caption_scores,
    missing_java,
)
from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS
from flmm.structures import SkippedSample
from flmm.utils.errors import FLMMError


@METRICS.register_module()
class CaptionMetric(EntryMetric):
    """BLEU-1..4, ROUGE-L, CIDEr, flmm's METEOR, and METEOR and SPICE where there is Java.

    Reads ``prediction.text`` and ``prediction.sample.meta['references']`` (a list of captions).

    Keys (percent; CIDEr times 100 as in the literature): ``bleu_1`` to ``bleu_4``, ``rouge_l``,
    ``cider``, ``meteor``, ``spice``, ``meteor_stems`` (flmm's METEOR without synonyms, see
    :mod:`flmm.evaluation.meteor`); besides ``num_captions`` and ``num_skipped``. METEOR and SPICE
    without Java are nan, with the reason in the notes.

    Args:
        metrics: Names in :data:`flmm.evaluation.captions.CAPTION_METRICS`.
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'caption'
    headline = 'rouge_l'
    ground_truth_keys = ('references',)
    unit = 'caption'

    def __init__(
        self,
        metrics: Sequence[str] = DEFAULT_METRICS,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(prefix, collect_device)
        unknown = [name for name in metrics if name not in CAPTION_METRICS]
        if unknown:
            raise ValueError(f'Unknown caption metric {unknown}; known: {sorted(CAPTION_METRICS)}.')
        self.metrics = tuple(metrics)

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        return {
            'scorers': 'pycocoevalcap',
            'tokenizer': 'flmm, after PTBTokenizer',
            'skipped samples': 'count as empty captions where their references are known',
        }

    def entry(self, prediction: Any) -> Entry:
        """The caption and its references."""
        sample = prediction.sample
        references = sample.meta.get('references')
        if not references:
            raise ValueError(
                f'Sample {sample.sample_id} has no sample.meta["references"]; CaptionMetric '
                'expects at least one caption there.'
            )
        return {
            'id': sample.sample_id,
            'skipped': '',
            'caption': prediction.text,
            'references': list(references),
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """An empty caption."""
        of_phrases = [text for phrase in sample.phrases for text in phrase.meta.get('refs', ())]
        return {
            'id': sample.sample_id,
            'skipped': sample.reason,
            'caption': '',
            'references': [*sample.references, *of_phrases],
        }

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        scores, _ = score_entries(results, self.metrics, self.reasons)
        return {
            **scores,
            'num_captions': len(results),
            'num_skipped': sum(bool(entry['skipped']) for entry in results),
        }

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """ROUGE-L only: BLEU is no mean over captions, and CIDEr's weights need all of them."""
        scored = [entry for entry in entries if entry['references']]
        _, singles = score_entries(scored, ('rouge_l',), {})
        return {'rouge_l': Ratio.mean(np.array(singles['rouge_l']))} if scored == entries else {}

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """ROUGE-L of each caption, in percent; nan without a reference."""
        scored = [entry for entry in entries if entry['references']]
        _, singles = score_entries(scored, ('rouge_l',), {})
        values = iter(singles['rouge_l'])
        return [100 * next(values) if entry['references'] else math.nan for entry in entries]

    def running(self) -> float:
        """Nothing while it runs: these scores need all captions."""
        return math.nan


def score_entries(
    entries: Sequence[Entry], metrics: Sequence[str], reasons: dict[str, str]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Caption scores of entries, in percent; nan instead of an error where Java is missing.

    Args:
        entries: With ``id``, ``caption`` and ``references``; those without a reference are
            left out.
        metrics: Names in ``CAPTION_METRICS``.
        reasons: Filled with why a score is nan, where that is not for want of captions.

    Returns:
        Scores of all in percent, and of each caption in 0..1.
    """
    entries = [entry for entry in entries if entry['references']]
    # Not by id: a bootstrap draws an entry several times, and each time counts.
    predictions = {str(index): entry['caption'] for index, entry in enumerate(entries)}
    references = {str(index): entry['references'] for index, entry in enumerate(entries)}
    plain = [name for name in metrics if name not in JAVA_METRICS]
    totals, singles = caption_scores(predictions, references, plain)
    for name in (name for name in metrics if name in JAVA_METRICS):
        totals[name] = math.nan
        if missing_java():
            reasons[name] = missing_java()
            continue
        try:
            found, each = caption_scores(predictions, references, (name,))
        except (FLMMError, OSError, ValueError) as error:
            # SPICE downloads its parser on first use; an evaluation must not die of that.
            reasons[name] = f'{name} failed: {error}'
            continue
        totals |= found
        singles |= each
    return {key: 100 * value for key, value in totals.items()}, singles
