"""Errors of a test run by mask size, phrase length, category and position."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flmm.evaluation.analysis import GroupScore, group_phrases, scored_phrases
from flmm.evaluation.metrics.mask_metric import EMPTY_IOU
from flmm.evaluation.plots import draw_groups
from flmm.evaluation.result_files import load_run
from flmm.evaluation.table import format_score
from flmm.utils.errors import AnnotationError, FLMMError
from flmm.utils.safe_io import write_json

Groups = dict[str, list[GroupScore]]


def analyze(
    path: str | Path,
    out_dir: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    num_categories: int = 15,
) -> dict[str, Groups]:
    """Group the phrases of a run and score each group.

    Writes ``analysis.json`` and one plot per task and mask metric.

    Args:
        path: Work dir of ``tools/test.py``, or its ``results.json``.
        out_dir: Where to; by default ``analysis`` beside the results.
        tasks: Only these; None for all that have a mask metric.
        num_categories: The most frequent categories have groups of their own.

    Returns:
        Groups by metric prefix.

    Raises:
        FLMMError: Files are missing or broken, or nothing in them is a score of masks.
    """
    run = load_run(path)
    unknown = [task for task in tasks or () if task not in run.tasks]
    if unknown:
        raise FLMMError(
            f'{run.path} has no task {", ".join(unknown)}; it has {", ".join(run.tasks)}.'
        )
    out_dir = run.path.parent / 'analysis' if out_dir is None else Path(out_dir)
    found: dict[str, Groups] = {}
    for task in tasks or run.tasks:
        lines = run.lines(task)
        for prefix in run.tasks[task]['metrics']:
            if not lines or 'gt_area' not in lines[0].get('entries', {}).get(prefix, {}):
                continue
            try:
                protocol = run.tasks[task]['metrics'][prefix].get('protocol', {})
                phrases = scored_phrases(lines, prefix, float(protocol.get(EMPTY_IOU, 0)))
                found[prefix] = group_phrases(phrases, num_categories)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise AnnotationError(
                    run.path.parent / run.tasks[task]['samples'],
                    f'lines do not fit a mask metric: {type(error).__name__} {error}.',
                    key=prefix,
                ) from error
            draw_groups(out_dir / f'{prefix.replace("/", "_")}.png', found[prefix], prefix)
    if not found:
        raise FLMMError(f'{run.path} has no scores of masks to analyse.')
    content = {
        prefix: {kind: [dataclasses.asdict(s) for s in scores] for kind, scores in groups.items()}
        for prefix, groups in found.items()
    }
    write_json(out_dir / 'analysis.json', content)
    return found


def print_analysis(found: dict[str, Groups]) -> None:
    """Print one table per metric."""
    console = Console()
    for prefix, groups in found.items():
        table = Table(title=prefix, title_justify='left')
        for column in ('', 'phrases', 'mean IoU', 'IoU ≥ 0.5'):
            table.add_column(column, justify='right' if column else 'left')
        for kind, scores in groups.items():
            table.add_section()
            table.add_row(f'[bold]{kind}[/bold]')
            for score in scores:
                values = map(format_score, (score.miou, score.precision))
                table.add_row(f'  {escape(score.name)}', str(score.count), *values)
        console.print(table)
