"""Scores of visual question answering benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.utils import get_object_from_string

from flmm.evaluation.metrics.entry_metric import Entry, EntryMetric
from flmm.evaluation.ratio import Ratio
from flmm.evaluation.vqa import BENCHMARKS, JUDGED, is_right, score, why_nan
from flmm.registry import METRICS
from flmm.structures import SkippedSample, VQAQuestion

_JUDGE = 'flmm.apis.judge.Judge'
# What the id of a question of HallusionBench consists of.
_PLACE = ('category', 'subcategory', 'set_id', 'figure_id', 'question_id')


@METRICS.register_module()
class VQAMetric(EntryMetric):
    """The official score of one benchmark; reads ``prediction.text`` and ``meta['vqa']``.

    Keys: those of :func:`flmm.evaluation.vqa.score` (percent, MME's sums of points, nan where its
    tasks are incomplete), and
    ``num_skipped``. A question whose sample could not be used counts as wrong.

    Args:
        benchmark: Name in ``BENCHMARKS``.
        judge: What grades MM-Vet's answers, and reads those to MathVista and MMBench in which
            rules find nothing: an ``AnswerJudge``, or a config of one, whose ``type`` may be
            spelt out (``'flmm.apis.judge.Judge'``). Without one MM-Vet's scores are nan; the
            answers are kept, and ``tools/score_vqa.py`` grades them later.
        prefix: See :class:`EntryMetric`; the benchmark's name by default.
        collect_device: See :class:`EntryMetric`.

    Raises:
        ValueError: No such benchmark.
    """

    default_prefix = 'vqa'
    headline = 'accuracy'
    ground_truth_keys = ('question',)
    unit = 'question'

    def __init__(
        self,
        benchmark: str,
        judge: Any = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(prefix or benchmark, collect_device)
        if benchmark not in BENCHMARKS:
            raise ValueError(f'VQAMetric scores one of {", ".join(BENCHMARKS)}, got {benchmark!r}.')
        self.benchmark = benchmark
        if isinstance(judge, Mapping):
            judge = _build(judge)
        self.judge = judge

    def protocol(self) -> dict[str, Any]:
        """Choices that change the numbers, for the result file."""
        chosen = {'benchmark': self.benchmark, 'skipped samples': 'count as wrong'}
        if self.benchmark in JUDGED:
            chosen['judge'] = 'none' if self.judge is None else type(self.judge).__name__
        return chosen

    def running(self) -> float:
        """See :class:`EntryMetric`; a judge is asked at the end alone."""
        return math.nan if self.judge is not None else super().running()

    def entry(self, prediction: Any) -> Entry:
        """The question and the answer to it."""
        sample = prediction.sample
        question = sample.meta.get('vqa')
        if question is None:
            raise ValueError(
                f'Sample {sample.sample_id} has no sample.meta["vqa"]; VQAMetric reads samples of '
                'VQABenchmark.'
            )
        return {
            'id': sample.sample_id,
            'skipped': '',
            'question': question,
            'answer': prediction.text,
        }

    def skipped_entry(self, sample: SkippedSample) -> Entry:
        """No answer; the question itself is not known any more."""
        return {'id': sample.sample_id, 'skipped': sample.reason, 'question': None, 'answer': None}

    def compute_metrics(self, results: Sequence[Entry]) -> dict[str, float]:
        """Compute all values of merged entries, without the prefix."""
        questions = [_question(entry, self.benchmark) for entry in results]
        answers = {
            question.id: entry['answer']
            for question, entry in zip(questions, results, strict=True)
            if entry['answer'] is not None
        }
        if self.benchmark == 'mmvet' and self.judge is None:
            self.reasons['accuracy'] = (
                'MM-Vet is graded by a language model; name a judge, or grade the kept answers '
                'with tools/score_vqa.py'
            )
            found = {'accuracy': math.nan, 'num_questions': len(questions)}
            found['num_missing'] = len(questions) - len(answers)
        else:
            self.reasons = why_nan(self.benchmark, questions)
            found = score(self.benchmark, questions, answers, self.judge)
        return {**found, 'num_skipped': sum(bool(entry['skipped']) for entry in results)}

    def ratios(self, entries: Sequence[Entry]) -> dict[str, Ratio]:
        """Accuracy, in 0..1, with one term per question (POPE's is a mean of three instead)."""
        if self.benchmark in ('pope', 'mmvet'):
            return {}
        return {'accuracy': Ratio.mean(np.array(self._right(entries)))}

    def sample_scores(self, entries: Sequence[Entry]) -> list[float]:
        """Score of each answer, in percent; nan where a judge gives it."""
        if self.benchmark == 'mmvet':
            return [math.nan] * len(entries)
        return [100 * right for right in self._right(entries)]

    def _right(self, entries: Sequence[Entry]) -> list[float]:
        return [
            is_right(self.benchmark, entry['answer'], _question(entry, self.benchmark), self.judge)
            for entry in entries
        ]


def _build(config: Mapping[str, Any]) -> Any:
    options = dict(config)
    kind = options.pop('type')
    if isinstance(kind, str):
        found = get_object_from_string(kind)
        if found is None:
            raise ValueError(f'There is no {kind!r}; a judge is, for example, {_JUDGE!r}.')
        kind = found
    return kind(**options)


def _question(entry: Mapping[str, Any], benchmark: str) -> VQAQuestion:
    """The question of an entry; of a skipped sample one that nothing answers.

    What a skipped sample belongs to is read from its id, which ``VQABenchmark`` makes.
    """
    record = entry['question']
    if record is not None:
        return VQAQuestion(**{**record, 'choices': tuple(record['choices'])})
    category, group = 'skipped', entry['id']
    parts = entry['id'].split('/')
    if benchmark == 'pope' and len(parts) > 2:
        category = parts[-2]
    elif benchmark == 'mme' and len(parts) > 3:
        category, group = parts[-3], '/'.join(parts[-3:-1])
    elif benchmark.startswith('mmbench') and parts[-1].isdecimal():
        group = str(int(parts[-1]) % 1_000_000)  # rotations of one question
    # HallusionBench: the figure and the question that it costs.
    place = dict.fromkeys(_PLACE, entry['id'])
    if len(parts) > len(_PLACE):
        place = dict(zip(reversed(_PLACE), reversed(parts), strict=False))
    # Of ScienceQA it also costs the accuracy of questions with images.
    return VQAQuestion(entry['id'], '', '', entry['id'], category=category, group=group, meta=place)
