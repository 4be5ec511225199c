"""Answers that lie in a file -> the official score of a benchmark, without running a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flmm.datasets.benchmarks import read_benchmark
from flmm.evaluation.vqa import match_answers, score, why_nan
from flmm.evaluation.vqa.answer_judge import AnswerJudge
from flmm.utils.errors import AnnotationError
from flmm.utils.json_lines import read_json_lines
from flmm.utils.safe_io import load_json

#: Names that ids and answers go by in files of predictions.
ID_KEYS, TEXT_KEYS = ('id', 'question_id', 'pid'), ('answer', 'text', 'response', 'prediction')


def score_file(
    benchmark: str,
    ann_file: str | Path,
    predictions: str | Path,
    images_only: bool = True,
    judge: AnswerJudge | None = None,
) -> dict[str, Any]:
    """Score predictions by the id of their question, whatever their order.

    Args:
        benchmark: Name in ``BENCHMARKS``.
        ann_file: Its official file or folder.
        predictions: See :func:`read_predictions`.
        images_only: Leave questions without an image out.
        judge: What grades MM-Vet's answers and reads those to MathVista and MMBench.

    Returns:
        ``metrics``, ``notes`` (why some are nan), ``matching`` (counts of answered,
        missing, repeated, conflicting and unknown ids) and ``missing`` (the first ids without an
        answer).

    Raises:
        FLMMError: A file is not what it should be, or no answer belongs to any question.
    """
    questions = read_benchmark(benchmark, str(ann_file), images_only)
    matched = match_answers(questions, read_predictions(predictions, benchmark))
    if not matched.answers:
        shown = ', '.join(matched.unknown[:3]) or 'none at all'
        raise AnnotationError(
            predictions,
            f'answers no question of {benchmark}: its ids are {shown}, expected such as '
            f'{questions[0].id}.',
            fix='Is it the file of another benchmark or split?',
        )
    return {
        'benchmark': benchmark,
        'notes': why_nan(benchmark, questions),
        'metrics': score(benchmark, questions, matched.answers, judge),
        'matching': matched.report(),
        'missing': matched.missing[:20],
    }


def read_predictions(path: str | Path, benchmark: str = '') -> Iterator[tuple[str, str]]:
    """Read a file of answers.

    Args:
        path: A ``.json`` object of texts by id (MM-Vet's form) or of records by id (MathVista's),
            a ``.json`` list of records, or lines of records (``.jsonl``; also
            ``samples/<task>.jsonl`` of ``tools/test.py``). A record has its id as ``id``,
            ``question_id`` or ``pid`` and its text as ``answer``, ``text``, ``response`` or
            ``prediction``.
        benchmark: Ids may begin with this name and ``/``, as in sample logs.

    Yields:
        Id and text.

    Raises:
        AnnotationError: A record has no id or no text.
    """
    path = Path(path)
    content: Any = read_json_lines(path) if path.suffix == '.jsonl' else load_json(path)
    if isinstance(content, Mapping):
        content = [
            {'id': key, 'answer': value}
            if isinstance(value, str)
            else {**value, 'id': key}
            if isinstance(value, Mapping)
            else value
            for key, value in content.items()
        ]
    for index, record in enumerate(content):
        found = _pair(record)
        if found is None:
            if isinstance(record, Mapping) and record.get('skipped'):
                continue  # counts as missing
            raise AnnotationError(
                path,
                f'expected an id ({", ".join(ID_KEYS)}) and a text ({", ".join(TEXT_KEYS)}).',
                key=f'record {index + 1}',
            )
        key, text = found
        yield key.removeprefix(f'{benchmark}/') if benchmark else key, text


def _pair(record: Any) -> tuple[str, str] | None:
    if not isinstance(record, Mapping):
        return None
    if isinstance(record.get('entries'), Mapping):  # of a sample log: what the metric kept
        record = next(iter(record['entries'].values()), {})
    key = next((record[name] for name in ID_KEYS if name in record), None)
    # The response of a model, not MathVista's annotated answer beside it.
    names = ('response',) if 'response' in record else TEXT_KEYS
    text = next((record[name] for name in names if isinstance(record.get(name), str)), None)
    return None if key is None or text is None else (str(key), text)
