"""MathVista: reading the final answer out of a response, and comparing it."""

from __future__ import annotations

import re

from flmm.structures import VQAQuestion

from .answer_judge import AnswerJudge
from .parsing import find_option

_QUOTED = re.compile(r'[Tt]he answer is "(.*?)"\.')
_NUMBER = re.compile(r'[-+]?\d[\d,]{0,30}(?:\.\d{1,30})?|[-+]?\.\d{1,30}')
# What the judge is asked to copy, by type of answer.
_FORMS = {'integer': 'an integer', 'float': 'a decimal number', 'list': 'a list in brackets'}
_LIST = re.compile(r'\[[^\[\]]*\]')


def extract_answer(response: str, question: VQAQuestion, judge: AnswerJudge | None = None) -> str:
    """Find the final answer, by rules or by a judge.

    The benchmark's script asks a language model where the response is not the answer itself. So
    does this with a judge; without one the last number, list or named option of the response is
    taken.

    Args:
        response: What the model wrote.
        question: With ``question_type`` and ``answer_type`` in ``meta``.
        judge: What reads long responses.

    Returns:
        The answer as text; ``''`` where there is none.
    """
    text = response.strip()
    quoted = _QUOTED.search(text)
    if quoted:
        text = quoted[1].strip()
    if judge is not None and text and not _is_answer(text, question):
        kind = question.meta['answer_type']
        form = 'one of its options' if question.choices else _FORMS.get(kind, 'a short text')
        text = judge.extract(question.question, text, form)
    if question.meta['question_type'] == 'multi_choice':
        return text
    if question.meta['answer_type'] == 'list':
        lists = _LIST.findall(text)
        return lists[-1] if lists else ''
    if question.meta['answer_type'] in ('integer', 'float'):
        numbers = _NUMBER.findall(text)
        return numbers[-1].replace(',', '') if numbers else ''
    return text


def _is_answer(text: str, question: VQAQuestion) -> bool:
    """Whether a text is nothing but an answer, of the kind that is asked for."""
    if question.meta['question_type'] == 'multi_choice':
        return find_option(text, question.choices) is not None
    if question.meta['answer_type'] == 'list':
        return _LIST.fullmatch(text) is not None
    if question.meta['answer_type'] in ('integer', 'float'):
        return _NUMBER.fullmatch(text) is not None
    return False


def normalise_answer(text: str, question: VQAQuestion) -> str | None:
    """Bring an answer into the form of the annotation.

    Args:
        text: From :func:`extract_answer`.
        question: Its question.

    Returns:
        The option's text, the rounded number, or the text; None where it is none of them.
    """
    if question.meta['question_type'] == 'multi_choice':
        if not text or not question.choices:
            return None
        index = find_option(text, question.choices)
        if index is None:
            # As the script: the option that takes fewest edits.
            edits = [edit_distance(text[:500], choice[:500]) for choice in question.choices]
            index = edits.index(min(edits))
        return question.choices[index]
    kind = question.meta['answer_type']
    if kind not in ('integer', 'float'):
        return text
    try:
        number = float(text)
        if kind == 'integer':
            return str(int(number))
        return str(round(number, int(question.meta['precision'])))
    except (ValueError, OverflowError, TypeError):
        return None


def mathvista_right(response: str, question: VQAQuestion, judge: AnswerJudge | None = None) -> bool:
    """Whether a response gives the annotated answer.

    Args:
        response: What the model wrote.
        question: Its question.
        judge: See :func:`extract_answer`.
    """
    said = normalise_answer(extract_answer(response, question, judge), question)
    if said is None:
        return False
    truth = str(question.answer)
    if question.meta['answer_type'] == 'list':
        return re.sub(r'\s', '', said) == re.sub(r'\s', '', truth)
    return said.strip() == truth.strip()


def edit_distance(first: str, second: str) -> int:
    """Levenshtein's distance of two texts.

    Args:
        first: A text.
        second: Another.
    """
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
