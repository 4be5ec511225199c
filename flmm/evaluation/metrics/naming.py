"""Whether a caption names what it should: words of certain kinds, such as colour and shape."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.registry import METRICS
from flmm.structures import SkippedSample


@METRICS.register_module()
class NamingMetric(EntryMetric):
    """Share of captions whose first word of each kind is that of the reference.

    Reads ``prediction.text`` and the first of ``sample.meta['references']``. A kind of which the
    reference has no word is not asked for; a reference without any word is left out.

    Keys (percent): ``all`` (every kind right), one per kind; ``num_captions``, ``num_skipped``.
    Skipped samples count as wrong in all that their reference names, or, where that is not known,
    in every kind.

    Args:
        kinds: Name -> words of the kind.
        prefix: See :class:`EntryMetric`.
        collect_device: See :class:`EntryMetric`.
    """

    default_prefix = 'naming'
    headline = 'all'
    ground_truth_keys = ('truth',)
    unit = 'caption'

    def __init__(
        self,
        kinds: Mapping[str, Sequence[str]],
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(prefix, collect_device)
        self.kinds = {name: tuple(words) for name, words in kinds.items()}

    def entry(self, prediction: Any) -> Entry:
        """The words of reference and caption."""
        sample = prediction.sample
        return {
            'id': sample.sample_id,
            'skipped': '',
            'truth': self._words(sample.meta['references'][0]),
            'said': self._words(prediction.text),
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """Nothing said."""
        of_phrases = [text for phrase in sample.phrases for text in phrase.meta.get('refs', ())]
        references = [*sample.references, *of_phrases]
        # No word of a kind is the empty one, so that nothing said is wrong in every kind.
        truth = self._words(references[0]) if references else dict.fromkeys(self.kinds, '')
        return {'id': sample.sample_id, 'skipped': sample.reason, 'truth': truth, 'said': {}}

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        asked = [entry for entry in results if entry['truth']]
        values = {'all': _share([_all_right(entry) for entry in asked])}
        for kind in self.kinds:
            values[kind] = _share(
                [
                    entry['said'].get(kind) == entry['truth'][kind]
                    for entry in asked
                    if kind in entry['truth']
                ]
            )
        skipped = sum(bool(entry['skipped']) for entry in results)
        return {**values, 'num_captions': len(asked), 'num_skipped': skipped}

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """The share of captions that are right in all."""
        if not all(entry['truth'] for entry in entries):
            return {}
        return {'all': Ratio.mean(np.array([_all_right(e) for e in entries], dtype=float))}

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """100 where a caption is right in all."""
        return [100.0 * _all_right(entry) for entry in entries]

    def _words(self, text: str) -> dict[str, str]:
        words = re.findall(r'\w+', text.lower())
        found = {}
        for kind, known in self.kinds.items():
            first = next((word for word in words if word in known), None)
            if first is not None:
                found[kind] = first
        return found


def _all_right(entry: Entry) -> bool:
    truth, said = entry['truth'], entry['said']
    return bool(truth) and all(said.get(kind) == word for kind, word in truth.items())


def _share(right: Sequence[bool]) -> float:
    return 100 * sum(right) / len(right) if right else math.nan
