"""Compare test runs: a table with intervals, wins and losses, the largest differences drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flmm.evaluation.comparison import Comparison, Interval, compare_entries
from flmm.evaluation.result_files import Line, ResultRun, entries_of, load_run
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import write_json
from flmm.visualization.difference_page import DifferenceCard, Section, write_difference_page


@dataclass(frozen=True)
class TaskComparison:
    """One metric of one task in all runs.

    Attributes:
        task: Name of the task.
        prefix: Of the metric.
        comparison: What came out.
        notes: What a reader must know: other protocols, samples left out.
    """

    task: str
    prefix: str
    comparison: Comparison
    notes: tuple[str, ...]


def compare(
    paths: Sequence[str | Path],
    out_dir: str | Path,
    tasks: Sequence[str] | None = None,
    top: int = 24,
    resamples: int = 1000,
    seed: int = 0,
) -> list[TaskComparison]:
    """Compare runs on the tasks and metrics that all of them have.

    Writes ``compare.html`` (self-contained) and ``compare.json`` into ``out_dir``.

    Args:
        paths: Work dirs of ``tools/test.py``, or their ``results.json``; the first is what the
            others are compared with.
        out_dir: Where to.
        tasks: Only these tasks.
        top: How many samples to draw per task.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        FLMMError: Files are missing or broken, or the runs have nothing in common.
    """
    if len(paths) < 2:
        raise FLMMError(f'A comparison needs at least two runs, got {len(paths)}.')
    runs = [load_run(path) for path in paths]
    names = run_names(runs)
    common = [task for task in runs[0].tasks if all(task in run.tasks for run in runs[1:])]
    unknown = [task for task in tasks or () if task not in common]
    if unknown or not common:
        raise FLMMError(
            f'The runs have no task {", ".join(unknown) or "at all"} in common; '
            f'common are {", ".join(common) or "none"}.'
        )
    results, sections = [], []
    for task in tasks or common:
        lines = [run.lines(task) for run in runs]
        for prefix in runs[0].tasks[task]['metrics']:
            if any(prefix not in run.tasks[task]['metrics'] for run in runs[1:]):
                continue
            result = _compare_task(runs, lines, task, prefix, resamples, seed)
            results.append(result)
            cards = _cards(result, lines, names, top if '/' not in prefix else 0)
            sections.append(_section(result, names, cards))
    if not results:
        raise FLMMError('The runs have no metric in common: give metrics the same prefix.')
    out_dir = Path(out_dir)
    write_json(out_dir / 'compare.json', _plain(results, names, [str(run.path) for run in runs]))
    write_difference_page(out_dir / 'compare.html', f'{" against ".join(names)}', sections)
    return results


def run_names(runs: Sequence[ResultRun]) -> list[str]:
    """Short names that differ: the folders, with as many parents as that takes."""
    parts = [run.path.resolve().parent.parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f'{runs[0].name} ({i + 1})' for i in range(len(runs))]


def _compare_task(
    runs: Sequence[ResultRun],
    lines: Sequence[Sequence[Line]],
    task: str,
    prefix: str,
    resamples: int,
    seed: int,
) -> TaskComparison:
    entries = [
        entries_of(list(part), prefix, run.path.parent / run.tasks[task]['samples'])
        for run, part in zip(runs, lines, strict=True)
    ]
    try:
        comparison = compare_entries(runs[0].metric(task, prefix), entries, resamples, seed)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FLMMError):
            raise
        raise FLMMError(
            f'The samples of task {task} do not fit the metric {prefix}: '
            f'{type(error).__name__} {error}.'
        ) from error
    notes = _other_rules(runs, task, prefix)
    left_out = max(len(part) for part in entries) - len(comparison.ids)
    if left_out:
        notes.append(f'Up to {left_out} samples are not in all runs and were left out.')
    for run in runs[1:]:
        for key, (mine, theirs) in _other_protocol(runs[0], run, task, prefix).items():
            notes.append(f'Protocols differ in {key}: {mine!r} against {theirs!r}.')
    slow = [
        key
        for key, found in comparison.scores.items()
        if resamples > 0 and any(math.isfinite(i.value) and math.isnan(i.low) for i in found)
    ]
    if slow:
        notes.append(f'No interval of {", ".join(slow)}: too slow to compute for every resample.')
    return TaskComparison(task, prefix, comparison, tuple(notes))


def _other_rules(runs: Sequence[ResultRun], task: str, prefix: str) -> list[str]:
    """Notes on options of the metric that differ; another metric altogether is an error."""
    notes = []
    mine = runs[0].tasks[task]['metrics'][prefix]
    for run in runs[1:]:
        theirs = run.tasks[task]['metrics'][prefix]
        if mine.get('type') != theirs.get('type'):
            raise FLMMError(
                f'{prefix} of task {task} is a {mine.get("type")} in {runs[0].path} and a '
                f'{theirs.get("type")} in {run.path}: such scores cannot be compared.'
            )
        if mine.get('options') != theirs.get('options'):
            notes.append(
                'The options of the metric differ; all runs are scored here with those of the '
                f'first, {mine.get("options")!r}, not {theirs.get("options")!r}.'
            )
    return notes


def _other_protocol(first: ResultRun, other: ResultRun, task: str, prefix: str) -> dict[str, Any]:
    def choices(run: ResultRun) -> dict[str, Any]:
        record = run.tasks[task]
        return {**record.get('dataset', {}), **record['metrics'][prefix].get('protocol', {})}

    mine, theirs = choices(first), choices(other)
    return {
        key: (mine.get(key), theirs.get(key))
        for key in {**mine, **theirs}
        if mine.get(key) != theirs.get(key)
    }


def _cards(
    result: TaskComparison, lines: Sequence[Sequence[Line]], names: Sequence[str], top: int
) -> list[DifferenceCard]:
    by_id = [{line['id']: line for line in part} for part in lines]
    cards = []
    for index in result.comparison.largest_differences(top):
        sample_id = result.comparison.ids[index]
        scores = result.comparison.sample_scores[:, index].tolist()
        entries = tuple(part[sample_id]['entries'][result.prefix] for part in by_id)
        cards.append(
            DifferenceCard(
                sample_id,
                _described([part[sample_id] for part in by_id], entries),
                entries,
                tuple(names),
                tuple(scores),
            )
        )
    return cards


def _described(lines: Sequence[Line], entries: Sequence[dict[str, Any]]) -> Line:
    """The line that tells most of a sample, with the truth where only the metric knows it."""
    # A run that had to skip the sample knows neither its image's size nor its true masks.
    place = next((i for i, line in enumerate(lines) if not line.get('skipped')), 0)
    line, entry = lines[place], entries[place]
    if line.get('gt_rle') or 'gt_rle' not in entry:
        return line
    phrases = [{'text': text} for text in entry.get('gt_phrases', ())]
    return {**line, 'gt_rle': entry['gt_rle'], 'phrases': phrases}


def _section(
    result: TaskComparison, names: Sequence[str], cards: Sequence[DifferenceCard]
) -> Section:
    comparison = result.comparison
    header = ['', *names, *(f'{name} − {names[0]}' for name in names[1:])]
    rows = [
        [key, *(format_interval(i) for i in values)]
        + [format_interval(i, sign=True) for i in comparison.differences[key]]
        for key, values in comparison.scores.items()
    ]
    notes = [
        f'{name} against {names[0]}, mean score per sample: better on {better}, '
        f'equal on {ties}, worse on {worse}.'
        for name, (better, ties, worse) in zip(names[1:], comparison.wins, strict=True)
    ]
    title = result.task if result.prefix == result.task else f'{result.task}: {result.prefix}'
    return Section(
        title, f'{len(comparison.ids)} samples', header, rows, [*notes, *result.notes], cards
    )


def format_interval(interval: Interval, sign: bool = False) -> str:
    """``62.31 [60.02, 64.40]``; a dash for nan, no brackets without an interval."""
    if math.isnan(interval.value):
        return '–'
    kind = '+.2f' if sign else '.2f'
    text = format(interval.value, kind)
    if math.isnan(interval.low):
        return text
    return f'{text} [{interval.low:{kind}}, {interval.high:{kind}}]'


def print_comparison(results: Sequence[TaskComparison], names: Sequence[str]) -> None:
    """Print one table per task and metric."""
    console = Console()
    for result in results:
        section = _section(result, names, ())
        title = escape(f'{section.title} ({section.subtitle})')
        table = Table(title=title, title_justify='left')
        # In a narrow terminal the intervals wrap; the names, which begin alike, stay whole.
        table.add_column('', no_wrap=True)
        for column in section.header[1:]:
            table.add_column(escape(column), justify='right')
        for row in section.rows:
            table.add_row(*map(escape, row))
        console.print(table)
        for note in section.notes:
            console.print(note, markup=False)


def _plain(
    results: Sequence[TaskComparison], names: Sequence[str], paths: Sequence[str]
) -> dict[str, Any]:
    def triple(interval: Interval) -> list[float | None]:
        values = (interval.value, interval.low, interval.high)
        return [None if math.isnan(value) else value for value in values]

    return {
        'runs': dict(zip(names, paths, strict=True)),
        'interval': 'value, 2.5th and 97.5th percentile of a bootstrap over samples',
        'tasks': [
            {
                'task': result.task,
                'metric': result.prefix,
                'num_samples': len(result.comparison.ids),
                'notes': list(result.notes),
                'scores': {k: list(map(triple, v)) for k, v in result.comparison.scores.items()},
                'differences': {
                    k: list(map(triple, v)) for k, v in result.comparison.differences.items()
                },
                'better_equal_worse': [list(wins) for wins in result.comparison.wins],
            }
            for result in results
        ],
    }
