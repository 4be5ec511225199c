"""Two or more runs on the same samples: intervals, differences, wins and losses."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.utils.errors import FLMMError

# Scores that are no ratios are computed anew per resample, if that is a matter of seconds.
_SLOW_RESAMPLES, _SLOW_SECONDS = 200, 20.0
_CHUNK = 64
# Sample scores closer than this, in points, are a tie.
TIE = 1e-9


@dataclass(frozen=True)
class Interval:
    """A value with a 95 % bootstrap interval; nan where there is none.

    Attributes:
        value: On all samples.
        low: 2.5th percentile of the resamples.
        high: 97.5th percentile.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """Runs compared on one metric of one task.

    Attributes:
        ids: Samples that all runs have, sorted.
        scores: By key, one interval per run.
        differences: By key, one interval per run but the first: run minus first, paired.
        sample_scores: ``(R, N)`` one number per run and sample, nan for none.
        wins: Per run but the first: (samples where it is better, ties, worse).
    """

    ids: tuple[str, ...]
    scores: dict[str, tuple[Interval, ...]]
    differences: dict[str, tuple[Interval, ...]]
    sample_scores: np.ndarray
    wins: tuple[tuple[int, int, int], ...]

    def largest_differences(self, count: int) -> list[int]:
        """Indices of the samples on which two runs differ most, the largest first."""
        spread = np.ptp(self.sample_scores, axis=0)
        order = np.argsort(-np.nan_to_num(spread, nan=-1.0), kind='stable')
        return [int(i) for i in order[:count] if spread[i] > TIE]


def compare_entries(
    metric: EntryMetric,
    entries_of_runs: Sequence[Sequence[Entry]],
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare runs on the samples that all of them have.

    All runs are resampled alike (samples, with all their phrases, are drawn with replacement),
    so that the interval of a difference knows that the runs saw the same samples.

    Args:
        metric: Computes the scores.
        entries_of_runs: Per run its entries.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        FLMMError: The runs have no sample in common, or other ground truth for the same sample.
    """
    by_id = [{entry['id']: entry for entry in entries} for entries in entries_of_runs]
    ids = tuple(sorted(set.intersection(*(set(part) for part in by_id))))
    if not ids:
        raise FLMMError('The runs have no sample in common. Are they of the same task?')
    runs = [[part[name] for name in ids] for part in by_id]
    _check_ground_truth(metric.ground_truth_keys, ids, runs)
    values = [metric.compute_metrics(run) for run in runs]
    draws = _bootstrap(metric, runs, values, resamples, seed)
    scores, differences = {}, {}
    for key in values[0]:
        if key.startswith('num_'):
            continue
        drawn = draws.get(key, np.full((len(runs), 0), math.nan))
        scores[key] = tuple(_interval(v[key], d) for v, d in zip(values, drawn, strict=True))
        differences[key] = tuple(
            _interval(v[key] - values[0][key], d - drawn[0])
            for v, d in zip(values[1:], drawn[1:], strict=True)
        )
    per_sample = np.array([metric.sample_scores(run) for run in runs], dtype=np.float64)
    wins = tuple(_wins(per_sample[0], other) for other in per_sample[1:])
    return Comparison(ids, scores, differences, per_sample, wins)


def _check_ground_truth(
    keys: Sequence[str], ids: Sequence[str], runs: Sequence[Sequence[Entry]]
) -> None:
    for name, entries in zip(ids, zip(*runs, strict=True), strict=True):
        # Of a skipped sample only what could still be read is known: it may be less.
        known = [entry for entry in entries if not entry.get('skipped')]
        for key in keys:
            if any(entry.get(key) != known[0].get(key) for entry in known[1:]):
                raise FLMMError(
                    f'Sample {name} has another {key} in one of the runs: they were made with '
                    'different data or protocols and cannot be compared sample by sample.'
                )


def _bootstrap(
    metric: EntryMetric,
    runs: Sequence[Sequence[Entry]],
    values: Sequence[Mapping[str, float]],
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Resampled scores by key, ``(R, B)``."""
    ratios = [metric.ratios(run) for run in runs]
    drawn: dict[str, list[np.ndarray]] = {key: [] for key in ratios[0]}
    for weights in _weights(len(runs[0]), resamples, seed):
        for key, parts in drawn.items():
            # Ratios are shares, scores percent.
            parts.append(np.stack([100 * ratio[key].resampled(weights) for ratio in ratios]))
    found = {key: np.concatenate(parts, axis=1) for key, parts in drawn.items() if parts}
    other = [key for key in values[0] if key not in found and not key.startswith('num_')]
    if other and resamples:
        found |= _slow_bootstrap(metric, runs, other, min(resamples, _SLOW_RESAMPLES), seed)
    return found


def _slow_bootstrap(
    metric: EntryMetric, runs: Sequence[Sequence[Entry]], keys: list[str], count: int, seed: int
) -> dict[str, np.ndarray]:
    started = time.monotonic()
    rng, rows = np.random.default_rng(seed), []
    for done in range(count):
        chosen = rng.integers(0, len(runs[0]), len(runs[0]))
        scores = [metric.compute_metrics([run[i] for i in chosen]) for run in runs]
        rows.append([[score[key] for score in scores] for key in keys])
        if (time.monotonic() - started) / (done + 1) * count > _SLOW_SECONDS:
            return {}
    table = np.array(rows, dtype=np.float64)
    return {key: table[:, index].T for index, key in enumerate(keys)}


def _weights(num_samples: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each sample is drawn, in chunks ``(b, N)`` of the resamples."""
    rng = np.random.default_rng(seed)
    share = np.full(num_samples, 1 / num_samples)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        yield rng.multinomial(num_samples, share, size=size).astype(np.float64)


def _interval(value: float, drawn: np.ndarray) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or math.isnan(value):
        return Interval(value)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _wins(first: np.ndarray, other: np.ndarray) -> tuple[int, int, int]:
    difference = other - first
    known = np.isfinite(difference)
    better, worse = int((difference[known] > TIE).sum()), int((difference[known] < -TIE).sum())
    return better, int(known.sum()) - better - worse, worse
