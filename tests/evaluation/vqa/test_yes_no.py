import math

from pytest import approx

from flmm.evaluation.vqa.yes_no import (
    COGNITION,
    PERCEPTION,
    binary_scores,
    missing_mme_tasks,
    score_hallusionbench,
    score_mme,
    score_pope,
)
from flmm.structures import VQAQuestion


def test_binary_scores_by_hand():
    # Said yes to 2 of 3 true and 1 of 2 false ones.
    found = binary_scores([True, True, True, False, False], [True, True, False, True, False])
    assert found == {
        'accuracy': approx(60),
        'precision': approx(200 / 3),
        'recall': approx(200 / 3),
        'f1': approx(200 / 3),
        'yes_ratio': approx(60),
    }


def test_nothing_to_divide_by_gives_zero():
    assert set(binary_scores([], []).values()) == {0.0}
    assert binary_scores([False], [False])['f1'] == 0


def test_pope_is_scored_by_setting_and_as_their_mean():
    questions = [VQAQuestion('r', 'q', 'yes', category='random')]
    questions += [VQAQuestion(f'p{i}', 'q', 'no', category='popular') for i in range(2)]
    found = score_pope(questions, {'r': 'yes', 'p0': 'no', 'p1': 'yes'})
    assert found['random/accuracy'] == 100 and found['popular/accuracy'] == 50
    assert found['accuracy'] == 75


def mme_questions(task):
    return [
        VQAQuestion(f'{task}{image}{i}', 'q', answer, category=task, group=f'{task}{image}')
        for image in 'xy'
        for i, answer in enumerate(('yes', 'no'))
    ]


def test_mme_adds_the_accuracy_of_answers_and_of_images():
    questions = [q for task in (*PERCEPTION, *COGNITION) for q in mme_questions(task)]
    answers = {q.id: q.answer for q in questions}
    answers['countx1'] = 'Yes'
    found = score_mme(questions, answers)
    # 3 of 4 answers, 1 of 2 images: 75 + 50; all else is right.
    assert found['task/count'] == 125
    assert found['perception'] == 9 * 200 + 125 and found['cognition'] == 800
    assert found['accuracy'] == 100 * 55 / 56
    assert found['num_missing_tasks'] == 0 and not any('partial' in name for name in found)


def test_a_sum_without_all_tasks_of_mme_is_not_called_the_total():
    tasks = [task for task in (*PERCEPTION, *COGNITION) if task not in ('OCR', 'scene')]
    questions = [q for task in tasks for q in mme_questions(task)]
    found = score_mme(questions, {q.id: q.answer for q in questions})
    assert math.isnan(found['perception']) and found['partial_perception'] == 8 * 200
    assert found['cognition'] == 800 and 'partial_cognition' not in found
    assert found['num_missing_tasks'] == 2
    assert missing_mme_tasks(questions) == {'perception': ['scene', 'OCR']}


def test_an_unanswered_question_costs_mme_its_image():
    found = score_mme(mme_questions('count'), {'countx0': 'yes', 'countx1': 'no'})
    assert found['task/count'] == found['partial_perception'] == 50 + 50


def test_hallusionbench_wants_all_of_a_figure_and_all_of_a_question():
    def ask(kind, figure, question, answer):
        place = dict(category=kind, subcategory='map', set_id='0')
        meta = dict(place, figure_id=figure, question_id=question)
        return VQAQuestion(f'{kind}{figure}{question}', 'q', answer, meta=meta)

    questions = [
        ask('VD', '0', '0', 'yes'),
        ask('VD', '0', '1', 'yes'),
        ask('VD', '1', '0', 'no'),
        ask('VD', '1', '1', 'no'),
        ask('VS', '0', '0', 'yes'),
    ]
    answers = {'VD00': 'Yes', 'VD01': 'yes', 'VD10': 'no', 'VD11': 'yes', 'VS00': 'no'}
    found = score_hallusionbench(questions, answers)
    # Figures: VD 0 right, VD 1 not, VS 0 is none. Questions: VD 0 right, VD 1 and VS 0 not.
    assert found == {
        'accuracy': approx(60),
        'figure_accuracy': approx(50),
        'question_accuracy': approx(100 / 3),
    }
