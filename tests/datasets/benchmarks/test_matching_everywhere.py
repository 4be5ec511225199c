"""Of every benchmark: answers are matched by id, whatever their order, and gaps are wrong."""

from dataclasses import replace

import pytest
from benchmark_layouts import WRITERS

from flmm.datasets.benchmarks import BENCHMARK_FILES, read_benchmark
from flmm.evaluation.vqa import match_answers, score


class Judge:
    """Right is what the reference says."""

    def score(self, question, answer, truth):
        return float(answer == truth)

    def choose(self, question, answer, options):
        return list(options).index(answer) if answer in options else None

    def extract(self, question, answer, form):
        return answer


def right_answer(benchmark, question):
    if benchmark == 'qbench':  # its file names options by their text
        return 'AB'[[c.lower() for c in question.choices].index(question.answer.lower())]
    if isinstance(question.answer, list):
        return question.answer[0]
    return str(question.answer)


def wrong_answer(question):
    return {'yes': 'no', 'no': 'yes'}.get(str(question.answer), 'xyzzy')


@pytest.fixture(params=sorted(BENCHMARK_FILES))
def case(request, tmp_path):
    """Name, twice the questions of the tiny official file, and their right answers."""
    own = read_benchmark(request.param, str(WRITERS[request.param](tmp_path)))
    questions = own + [
        replace(
            q,
            id=f'{q.id}-again',
            group=f'{q.group}-again',
            meta={k: f'{v}-again' if k == 'question_id' else v for k, v in q.meta.items()},
        )
        for q in own
    ]
    answers = {q.id: right_answer(request.param, q) for q in questions}
    return request.param, questions, answers


def test_right_answers_are_right_in_any_order_and_the_first_of_several_counts(case):
    benchmark, questions, answers = case
    lines = list(answers.items())[::-1]
    lines += [(questions[0].id, wrong_answer(questions[0])), ('unknown', 'A')]
    matched = match_answers(questions, lines)
    scores = score(benchmark, questions, matched.answers, Judge())
    assert scores == score(benchmark, questions, answers, Judge())
    assert scores['accuracy'] == 100 and scores['num_missing'] == 0
    report = matched.report()
    assert (report['num_repeated'], report['num_conflicting'], report['num_unknown']) == (1, 1, 1)


def test_a_gap_counts_as_a_wrong_answer_and_is_reported(case):
    benchmark, questions, answers = case
    gap = questions[-1]
    lines = [(key, text) for key, text in answers.items() if key != gap.id]
    matched = match_answers(questions, lines)
    assert matched.missing == [gap.id] and matched.report()['num_missing'] == 1
    missing = score(benchmark, questions, matched.answers, Judge())
    wrong = score(benchmark, questions, answers | {gap.id: wrong_answer(gap)}, Judge())
    assert missing['accuracy'] == wrong['accuracy'] < 100
    assert missing['num_missing'] == 1 and missing['num_questions'] == len(questions)
