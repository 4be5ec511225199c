import json
import math

import pytest
from PIL import Image
from pytest import approx

from flmm.apis.judge import JudgeError
from flmm.apis.visual_cot import CoTAnswer
from flmm.apis.visual_cot_evaluation import (
    answer_questions,
    judged_score,
    offline_scores,
)
from flmm.datasets.transforms import LoadImage
from flmm.datasets.viscot import VisCoTDataset
from flmm.utils.errors import AnnotationError, FLMMError


def record(name, question, answer, box='[2, 2, 6, 6]'):
    return {
        'dataset': 'x', 'split': 'val', 'question_id': 0,
        'image': [name, f'{name}###{box}'],
        'conversations': [
            {'from': 'human', 'value': f'<image>\n{question} Please provide the bounding box x.'},
            {'from': 'gpt', 'value': '[0, 0, 1, 1]'},
            {'from': 'human', 'value': '<image>'},
            {'from': 'gpt', 'value': answer},
        ],
    }  # fmt: skip


@pytest.fixture
def dataset(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.jpg')

    def make(*records):
        (tmp_path / 'q.json').write_text(json.dumps(records))
        return VisCoTDataset(str(tmp_path / 'q.json'), str(tmp_path), [LoadImage()])

    return make


class Parrot:
    """Answers 'dog' with a crop of the left half."""

    def __init__(self):
        self.asked = []

    def __call__(self, image, question, mode):
        self.asked.append(question)
        return CoTAnswer('dog', 'the dog', None if mode == 'v3' else (2, 2, 4, 6), True)


def test_questions_lose_their_request_and_keep_their_box(dataset):
    sample = dataset(record('a.jpg', 'What is it?', 'Yes'))[0]
    assert sample.meta == {'question': 'What is it?', 'answer': 'Yes', 'box_xyxy': [2, 2, 6, 6]}


@pytest.mark.parametrize(
    'box', ['[1, 2, 3]', '[5, 5, 1, 1]', 'x', '[nan, 0, 1, 1]', '[-1, 0, 1, 1]']
)
def test_a_broken_box_is_skipped(dataset, box):
    assert dataset(record('a.jpg', 'What?', 'x', box))[0].reason == 'annotation_invalid'


def test_another_format_is_an_error(dataset):
    with pytest.raises(AnnotationError, match='VisCoT'):
        dataset()


def test_scores_by_hand(dataset, tmp_path):
    questions = dataset(
        record('a.jpg', 'What?', 'the dog'), record('a.jpg', 'Which?', 'dot'),
        record('gone.jpg', 'Why?', 'dog'),
    )  # fmt: skip
    entries = answer_questions(Parrot(), questions, 'v1', tmp_path / 'v1.jsonl')
    scores = offline_scores(entries)
    assert scores['exact_match'] == approx(100 / 3)
    # 'dog' and 'the dog' share 3 of 7 characters: below a half; 'dot' 2 of 3.
    assert scores['anls'] == approx(100 * (0 + 2 / 3 + 0) / 3)
    assert scores['box_iou'] == approx(50)  # 2x4 of 4x4
    assert (scores['num_questions'], scores['num_skipped']) == (3, 1)
    nothing = offline_scores(answer_questions(Parrot(), questions, 'v3', tmp_path / 'v3.jsonl'))
    assert math.isnan(nothing['box_iou'])


def test_an_interrupted_run_goes_on(dataset, tmp_path):
    questions = dataset(*(record('a.jpg', f'q{i}', 'dog') for i in range(4)))
    path, first, second = tmp_path / 'v1.jsonl', Parrot(), Parrot()
    answer_questions(first, questions, 'v1', path, limit=2)
    with open(path, 'a') as file:
        file.write('{"id": "viscot/2", "mo')  # killed while writing
    entries = answer_questions(second, questions, 'v1', path)
    assert first.asked == ['q0', 'q1'] and second.asked == ['q2', 'q3']
    assert len(entries) == len(path.read_text().splitlines()) == 4
    with pytest.raises(FLMMError, match='line 1 was made with another mode'):
        answer_questions(second, questions, 'v2', path)


def test_answers_of_another_set_or_model_are_never_taken_for_these(dataset, tmp_path):
    path = tmp_path / 'v1.jsonl'
    answer_questions(Parrot(), dataset(record('a.jpg', 'What?', 'dog')), 'v1', path, None, 'one')
    other = dataset(record('a.jpg', 'How many?', '3'))
    with pytest.raises(FLMMError, match='another fingerprint'):
        answer_questions(Parrot(), other, 'v1', path, None, 'two')
    path.write_text('[1]\n')
    with pytest.raises(FLMMError, match='line 1 is no answer'):
        answer_questions(Parrot(), other, 'v1', path, None, 'two')


@pytest.mark.parametrize('odd', ['\u2028', '\x85', 'é🟥', '\ud800'])
def test_any_character_of_an_answer_survives_an_interruption(dataset, tmp_path, odd):
    class Odd(Parrot):
        def __call__(self, image, question, mode):
            return CoTAnswer(f'dog{odd}dog', '', None, False)

    questions, path = (
        dataset(record('a.jpg', 'q', 'dog'), record('a.jpg', 'r', 'dog')),
        tmp_path / 'x',
    )
    answer_questions(Odd(), questions, 'v3', path, limit=1)
    whole = path.read_bytes()
    # The kill may come inside a character.
    path.write_bytes(whole + '{"id": "é'.encode()[:-1])
    entries = answer_questions(Odd(), questions, 'v3', path)
    assert [entry['answer'] for entry in entries] == [f'dog{odd}dog'] * 2
    assert path.read_bytes().startswith(whole)


class FakeJudge:
    def __init__(self, fails=False):
        self.fails = fails

    def estimate(self, items):
        return type('Estimate', (), {'requests': len(list(items)), '__str__': lambda s: 'much'})()

    def score(self, question, answer, truth):
        if self.fails:
            raise JudgeError('broken')
        return 0.5


def test_the_judge_is_asked_only_after_its_cost_was_confirmed(dataset, tmp_path):
    questions = dataset(record('a.jpg', 'What?', 'dog'), record('gone.jpg', 'Why?', 'dog'))
    entries = answer_questions(Parrot(), questions, 'v1', tmp_path / 'v1.jsonl')
    assert judged_score(entries, FakeJudge(), lambda cost: True) == (approx(25), [0.5, 0.0])
    with pytest.raises(FLMMError, match='not confirmed'):
        judged_score(entries, FakeJudge(fails=True), lambda cost: False)
    with pytest.raises(JudgeError):
        judged_score(entries, FakeJudge(fails=True), lambda cost: True)
