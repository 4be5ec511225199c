"""Counting what could not be used: samples skipped and phrases dropped, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mmengine.dist import all_gather_object


class SkipCounter:
    """Skipped samples and dropped phrases of one pass over a dataset.

    Counted by sample id: a sample that a sampler repeats, or that several processes see, counts
    once.

    Attributes:
        skipped: ``{sample id: (reason, detail)}``.
        dropped: ``{sample id: [(phrase text, reason), ...]}``.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, tuple[str, str]] = {}
        self.dropped: dict[str, list[tuple[str, str]]] = {}

    def add(self, data_batch: Mapping | None) -> None:
        """Count a batch as the collate function made it; other batches count nothing."""
        if not isinstance(data_batch, Mapping):
            return
        for sample in data_batch.get('skipped', ()):
            self.skipped[sample.sample_id] = (sample.reason, sample.detail)
        for sample in data_batch.get('samples', ()):
            if sample.dropped:
                self.dropped[sample.sample_id] = list(sample.dropped)

    def gather(self) -> SkipCounter:
        """The counts of all processes together."""
        merged = SkipCounter()
        for skipped, dropped in all_gather_object((self.skipped, self.dropped)):
            merged.skipped |= skipped
            merged.dropped |= dropped
        return merged

    def clear(self) -> None:
        """Start anew."""
        self.skipped, self.dropped = {}, {}

    def counts(self) -> dict[str, dict[str, int]]:
        """``{'skipped_samples': {reason: n}, 'dropped_phrases': {reason: n}}``."""
        skipped = Counter(reason for reason, _ in self.skipped.values())
        dropped = Counter(reason for phrases in self.dropped.values() for _, reason in phrases)
        return {
            'skipped_samples': dict(sorted(skipped.items())),
            'dropped_phrases': dict(sorted(dropped.items())),
        }

    def sentence(self, num_examples: int = 3) -> str:
        """What was not used, for a log; empty if everything was.

        Args:
            num_examples: Skipped samples that are named with their error.
        """
        counts = self.counts()
        parts = []
        for what, by_reason in (
            ('samples skipped', counts['skipped_samples']),
            ('phrases dropped', counts['dropped_phrases']),
        ):
            if by_reason:
                reasons = ', '.join(f'{reason} {count}' for reason, count in by_reason.items())
                parts.append(f'{sum(by_reason.values())} {what} ({reasons})')
        examples = [
            f'{sample_id}: {detail or reason}'
            for sample_id, (reason, detail) in sorted(self.skipped.items())[:num_examples]
        ]
        text = '; '.join(parts)
        return f'{text}. For example {" | ".join(examples)}' if examples else text
