"""Scores of all benchmarks by name: questions and answers in, percentages out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flmm.evaluation.short_answers import spell_alike, strip_punctuation
from flmm.structures import VQAQuestion
from flmm.utils.errors import FLMMError

from .answer_judge import AnswerJudge
from .mathvista import mathvista_right
from .parsing import (
    LETTERS,
    evalai_answer,
    find_option,
    first_capital,
    first_character,
    hallusion_says_yes,
    letter_alone,
    mme_answer,
    pope_says_yes,
    scienceqa_option,
)
from .yes_no import missing_mme_tasks, score_hallusionbench, score_mme, score_pope, share


def textvqa_accuracy(answer: str, truths: Sequence[str]) -> float:
    """Agreement of an answer with ten annotators, 0..1, spelt as on the EvalAI server.

    Args:
        answer: What the model said.
        truths: What annotators said.
    """
    said = evalai_answer(answer)
    spelt = [evalai_answer(truth) for truth in truths]
    if not spelt:
        return 0.0
    # Each annotator is left out once: the others who said the same, at most 3, count a third each.
    same = sum(truth == said for truth in spelt)
    return sum(min(1.0, (same - (truth == said)) / 3) for truth in spelt) / len(spelt)


def gqa_right(text: str, question: VQAQuestion) -> bool:
    """GQA: the annotated word, in lower case and without punctuation and articles.

    Args:
        text: The answer.
        question: Its question.
    """
    said, truth = (
        strip_punctuation(spell_alike(one.strip().rstrip('.').lower()))
        for one in (text, str(question.answer))
    )
    return said == truth


def _letter(parse: Callable[[str], int | None]) -> Callable[[str, VQAQuestion], float]:
    def right(text: str, question: VQAQuestion) -> float:
        index = parse(text)
        return float(index is not None and LETTERS[index] == question.answer)

    return right


def _scienceqa(text: str, question: VQAQuestion) -> float:
    index = scienceqa_option(text.strip(), len(question.choices))
    return float(index is not None and LETTERS[index] == question.answer)


def _mmbench(text: str, question: VQAQuestion, judge: AnswerJudge | None = None) -> float:
    index = find_option(text, question.choices)
    if index is None and judge is not None:
        index = judge.choose(question.question, text, question.choices)
    return float(index is not None and LETTERS[index] == question.answer)


def _qbench(text: str, question: VQAQuestion) -> float:
    index = letter_alone(text)
    if index is None or index >= len(question.choices):
        return 0.0
    # Its file names the right option by its text, of any case.
    return float(question.choices[index].lower() == str(question.answer).lower())


_RIGHT: dict[str, Callable[[str, VQAQuestion], float]] = {
    'ai2d': _letter(first_capital),
    'gqa': lambda text, question: float(gqa_right(text, question)),
    'hallusionbench': lambda text, q: float(hallusion_says_yes(text) == (q.answer == 'yes')),
    'mathvista': lambda text, question: float(mathvista_right(text, question)),
    'mmbench': _mmbench,
    'mmbench_cn': _mmbench,
    'mme': lambda text, question: float(mme_answer(text) == question.answer),
    'pope': lambda text, question: float(pope_says_yes(text) == (question.answer == 'yes')),
    'qbench': _qbench,
    'scienceqa': _scienceqa,
    'seed': _letter(first_character),
    'textvqa': lambda text, question: textvqa_accuracy(text, list(question.answer)),
}

#: Benchmarks whose own scripts ask a language model what a free answer means.
_READ_BY_JUDGE: dict[str, Callable[[str, VQAQuestion, AnswerJudge], float]] = {
    'mathvista': lambda text, question, judge: float(mathvista_right(text, question, judge)),
    'mmbench': _mmbench,
    'mmbench_cn': _mmbench,
}
#: Names of all benchmarks; MM-Vet needs a judge.
BENCHMARKS = (*sorted(_RIGHT), 'mmvet')
#: Those that a judge can help to score.
JUDGED = (*_READ_BY_JUDGE, 'mmvet')

#: What parts of MM-Vet's answers are joined by: all of them are needed, or one of them is enough.
_MMVET_MARKS = {'<AND>': ' (and also) ', '<OR>': ' (or, just as right) '}


def is_right(
    benchmark: str, text: str | None, question: VQAQuestion, judge: AnswerJudge | None = None
) -> float:
    """Score of one answer, 0..1.

    Args:
        benchmark: Name in ``BENCHMARKS``, without ``mmvet``.
        text: The answer; None (no answer) is wrong.
        question: Its question.
        judge: What reads free answers to MathVista and MMBench; None: rules alone.
    """
    if text is None:
        return 0.0
    if judge is not None and benchmark in _READ_BY_JUDGE:
        return _READ_BY_JUDGE[benchmark](text, question, judge)
    return _RIGHT[benchmark](text, question)


def score(
    benchmark: str,
    questions: Sequence[VQAQuestion],
    answers: Mapping[str, str],
    judge: AnswerJudge | None = None,
) -> dict[str, float]:
    """Score the answers to a benchmark.

    Args:
        benchmark: Name in ``BENCHMARKS``.
        questions: Its questions.
        answers: Texts by id of the question; a missing one counts as wrong.
        judge: What grades MM-Vet's answers, and reads those to MathVista and MMBench in which
            rules find nothing.

    Returns:
        Percentages by name, except MME's sums of points (nan where :func:`why_nan` says so);
        ``accuracy`` is always there, scores of categories are named ``<category>/accuracy`` or
        ``task/<task>``; those that begin with ``num_`` are counts.

    Raises:
        FLMMError: No such benchmark, or a judge is needed and there is none.
    """
    counts = {
        'num_questions': len(questions),
        'num_missing': sum(question.id not in answers for question in questions),
    }
    if benchmark == 'pope':
        return score_pope(questions, answers) | counts
    if benchmark == 'mme':
        return score_mme(questions, answers) | counts
    if benchmark == 'hallusionbench':
        return score_hallusionbench(questions, answers) | counts
    if benchmark == 'mmvet':
        return _score_mmvet(questions, answers, judge) | counts
    if benchmark not in _RIGHT:
        raise FLMMError(f'Unknown benchmark {benchmark!r}; known: {", ".join(BENCHMARKS)}.')
    right = {q.id: is_right(benchmark, answers.get(q.id), q, judge) for q in questions}
    found = {'accuracy': share(sum(right.values()), len(right))}
    if benchmark in ('mmbench', 'mmbench_cn'):
        found['circular_accuracy'] = _circular(questions, right)
    if benchmark == 'scienceqa':
        found['image_accuracy'] = _mean([right[q.id] for q in questions if q.image])
    return found | _by_category(questions, right) | counts


def why_nan(benchmark: str, questions: Sequence[VQAQuestion]) -> dict[str, str]:
    """Which scores of :func:`score` are nan, and why.

    Args:
        benchmark: Name in ``BENCHMARKS``.
        questions: Its questions.
    """
    missing = missing_mme_tasks(questions) if benchmark == 'mme' else {}
    return {
        name: f'there are no questions of {", ".join(tasks)}; partial_{name} is the sum of the '
        'other tasks, which is not comparable with published totals'
        for name, tasks in missing.items()
    }


def _mean(values: Sequence[float]) -> float:
    return share(sum(values), len(values))


def _by_category(questions: Sequence[VQAQuestion], right: Mapping[str, float]) -> dict[str, float]:
    kinds: dict[str, list[float]] = {}
    for question in questions:
        if question.category:
            kinds.setdefault(question.category, []).append(right[question.id])
    return {f'{kind}/accuracy': _mean(values) for kind, values in kinds.items()}


def _circular(questions: Sequence[VQAQuestion], right: Mapping[str, float]) -> float:
    """Share of questions that are right in every rotation of their options."""
    groups: dict[str, list[float]] = {}
    for question in questions:
        groups.setdefault(question.group or question.id, []).append(right[question.id])
    return _mean([min(values) for values in groups.values()])


def _in_words(truth: str) -> str:
    """MM-Vet's marks in an answer, of which a judge has never heard, as words."""
    for mark, meant in _MMVET_MARKS.items():
        parts = [part.strip() for part in truth.split(mark)]
        truth = meant.join(part for part in parts if part)
    return truth


def _score_mmvet(
    questions: Sequence[VQAQuestion], answers: Mapping[str, str], judge: AnswerJudge | None
) -> dict[str, float]:
    """Mean grade, and that of each capability a question needs."""
    if judge is None:
        raise FLMMError(
            'MM-Vet is graded by a language model: name its address and model '
            '(score(..., judge=Judge(base_url, model))).'
        )
    grades = {
        q.id: judge.score(q.question, answers[q.id], _in_words(str(q.answer)))
        if q.id in answers
        else 0.0
        for q in questions
    }
    found = {'accuracy': _mean(list(grades.values()))}
    for name in dict.fromkeys(c for q in questions for c in q.meta.get('capability', ())):
        own = [grades[q.id] for q in questions if name in q.meta.get('capability', ())]
        found[f'{name}/accuracy'] = _mean(own)
    return found
