"""Scores of yes/no benchmarks: POPE, MME, HallusionBench."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flmm.structures import VQAQuestion

from .parsing import hallusion_says_yes, mme_answer, pope_says_yes

#: Tasks of MME.
PERCEPTION = (
    'existence',
    'count',
    'position',
    'color',
    'posters',
    'celebrity',
    'scene',
    'landmark',
    'artwork',
    'OCR',
)
COGNITION = (
    'commonsense_reasoning',
    'numerical_calculation',
    'text_translation',
    'code_reasoning',
)

_MME_SUMS = {'perception': PERCEPTION, 'cognition': COGNITION}


def share(part: float, whole: float) -> float:
    """``100 * part / whole``, 0 where there is nothing to divide by.

    Args:
        part: Numerator.
        whole: Denominator.
    """
    return 100 * part / whole if whole else 0.0


def binary_scores(truths: Sequence[bool], said: Sequence[bool | None]) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and share of yes, in percent.

    Args:
        truths: Whether yes is right.
        said: What was answered; None (no answer) is wrong and neither yes nor no.
    """
    pairs = list(zip(truths, said, strict=True))
    true_yes = sum(truth and answer is True for truth, answer in pairs)
    all_yes = sum(answer is True for _, answer in pairs)
    precision, recall = share(true_yes, all_yes), share(true_yes, sum(truths))
    return {
        'accuracy': share(sum(truth is answer for truth, answer in pairs), len(pairs)),
        'precision': precision,
        'recall': recall,
        'f1': 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        'yes_ratio': share(all_yes, len(pairs)),
    }


def score_pope(questions: Sequence[VQAQuestion], answers: Mapping[str, str]) -> dict[str, float]:
    """POPE: scores of each setting (random, popular, adversarial), and their means.

    Args:
        questions: ``category`` is the setting.
        answers: Texts by id; a missing one is wrong.
    """
    scores: dict[str, float] = {}
    settings = list(dict.fromkeys(question.category for question in questions))
    for setting in settings:
        own = [question for question in questions if question.category == setting]
        said = [pope_says_yes(answers[q.id]) if q.id in answers else None for q in own]
        found = binary_scores([q.answer == 'yes' for q in own], said)
        scores |= {f'{setting}/{name}': value for name, value in found.items()}
    for name in ('accuracy', 'precision', 'recall', 'f1', 'yes_ratio'):
        scores[name] = sum(scores[f'{s}/{name}'] for s in settings) / max(len(settings), 1)
    return scores


def mme_task_counts(
    questions: Sequence[VQAQuestion], answers: Mapping[str, str]
) -> dict[str, float]:
    """Counts and shares (0..1) of one MME task, with the names of MME's own script.

    Args:
        questions: Of one task; ``group`` is the image.
        answers: Texts by id; a missing one is ``other``.
    """
    said = {q.id: mme_answer(answers[q.id]) if q.id in answers else 'other' for q in questions}
    count = dict.fromkeys(('TP', 'FN', 'TN', 'FP'), 0)
    images: dict[str, list[bool]] = {}
    for question in questions:
        answer, right = said[question.id], said[question.id] == question.answer
        images.setdefault(question.group, []).append(right)
        if answer != 'other':
            kinds = {('yes', True): 'TP', ('no', True): 'TN', ('yes', False): 'FP'}
            count[kinds.get((answer, right), 'FN')] += 1
    true, total = count['TP'] + count['TN'], len(questions)
    yes, positive = count['TP'] + count['FP'], count['TP'] + count['FN']
    return {
        **count,
        'precision': count['TP'] / yes if yes else 0.0,
        'recall': count['TP'] / positive if positive else 0.0,
        'other_num': sum(answer == 'other' for answer in said.values()),
        'acc': true / total if total else 0.0,
        'acc_plus': sum(map(all, images.values())) / len(images) if images else 0.0,
    }


def missing_mme_tasks(questions: Sequence[VQAQuestion]) -> dict[str, list[str]]:
    """Tasks of MME without a question, for each of the two sums that lacks some.

    Args:
        questions: ``category`` is the task.
    """
    there = {question.category for question in questions}
    missing = {name: [t for t in tasks if t not in there] for name, tasks in _MME_SUMS.items()}
    return {name: tasks for name, tasks in missing.items() if tasks}


def score_mme(questions: Sequence[VQAQuestion], answers: Mapping[str, str]) -> dict[str, float]:
    """MME: per task ``100 * (accuracy + accuracy of images)``, summed over two kinds of tasks.

    Args:
        questions: ``category`` is the task, ``group`` the image; two questions to an image.
        answers: Texts by id; a missing one is wrong.

    Returns:
        ``perception`` (at most 2000), ``cognition`` (at most 800), ``task/<name>`` (at most 200)
        and ``accuracy`` in percent. A sum that lacks tasks (``num_missing_tasks`` counts those of
        both) is nan; ``partial_perception``, ``partial_cognition`` is then what the others make.
    """
    tasks: dict[str, list[VQAQuestion]] = {}
    for question in questions:
        tasks.setdefault(question.category, []).append(question)
    counts = {task: mme_task_counts(own, answers) for task, own in tasks.items()}
    points = {task: 100 * (one['acc'] + one['acc_plus']) for task, one in counts.items()}
    right = sum(counts[task]['acc'] * len(own) for task, own in tasks.items())
    missing = missing_mme_tasks(questions)
    sums = {}
    for name, own in _MME_SUMS.items():
        total = sum(points.get(task, 0.0) for task in own)
        sums[name] = math.nan if name in missing else total
        if name in missing:
            sums[f'partial_{name}'] = total
    return {
        **sums,
        'num_missing_tasks': sum(map(len, missing.values())),
        'accuracy': share(right, len(questions)),
        **{f'task/{task}': value for task, value in points.items()},
    }


def score_hallusionbench(
    questions: Sequence[VQAQuestion], answers: Mapping[str, str]
) -> dict[str, float]:
    """HallusionBench without a judge: accuracy of answers, figures and questions, in percent.

    A figure (a question) counts as right when all its questions (all its figures) are.

    Args:
        questions: With ``category``, ``subcategory``, ``set_id``, ``figure_id`` and
            ``question_id`` in ``meta``.
        answers: Texts by id; a missing one is wrong.
    """
    figures: dict[tuple, list[bool]] = {}
    pairs: dict[tuple, list[bool]] = {}
    total = []
    for question in questions:
        said = None if question.id not in answers else hallusion_says_yes(answers[question.id])
        right = said is (question.answer == 'yes')
        total.append(right)
        place = tuple(str(question.meta[k]) for k in ('category', 'subcategory', 'set_id'))
        pairs.setdefault((*place, str(question.meta['question_id'])), []).append(right)
        # The VS questions of "figure 0" are asked without a figure.
        if not (place[0] == 'VS' and str(question.meta['figure_id']) == '0'):
            figures.setdefault((*place, str(question.meta['figure_id'])), []).append(right)
    return {
        'accuracy': share(sum(total), len(total)),
        'figure_accuracy': share(sum(map(all, figures.values())), len(figures)),
        'question_accuracy': share(sum(map(all, pairs.values())), len(pairs)),
    }
