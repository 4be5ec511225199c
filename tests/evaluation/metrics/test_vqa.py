import math
from dataclasses import asdict

import pytest
import torch

from flmm.evaluation.metrics import VQAMetric
from flmm.structures import GroundingPrediction, GroundingSample, SkippedSample, VQAQuestion


def predicted(question, text):
    record = asdict(question) | {'choices': list(question.choices)}
    sample = GroundingSample(f'x/{question.id}', meta={'vqa': record})
    return GroundingPrediction(sample, torch.zeros(0, 1, 1, dtype=torch.bool), text=text)


QUESTIONS = [VQAQuestion(str(i), 'q', 'A', 'x.png', ('x', 'y')) for i in range(4)]


def test_answers_are_scored_and_skipped_samples_are_wrong():
    metric = VQAMetric('scienceqa')
    batch = {'skipped': [SkippedSample('x/3', 'image_unreadable')]}
    answers = ['A', 'B', 'The answer is A.']
    metric.process(batch, [predicted(q, t) for q, t in zip(QUESTIONS, answers, strict=False)])
    scores = metric.evaluate(4)
    assert scores['scienceqa/accuracy'] == 50
    assert scores['scienceqa/num_questions'] == 4 and scores['scienceqa/num_missing'] == 1
    assert scores['scienceqa/num_skipped'] == 1
    assert metric.sample_scores(metric.entries) == [100, 0, 100, 0]
    assert metric.ratios(metric.entries)['accuracy'].value == 0.5


def test_samples_that_come_twice_count_once():
    metric = VQAMetric('ai2d')
    metric.process(None, [predicted(QUESTIONS[0], 'A')] * 2 + [predicted(QUESTIONS[1], 'none')])
    assert metric.evaluate(2)['ai2d/accuracy'] == 50


@pytest.mark.parametrize('benchmark', ['pope', 'mme', 'hallusionbench', 'mmbench', 'gqa'])
def test_a_skipped_sample_is_scored_in_every_benchmark(benchmark):
    metric = VQAMetric(benchmark)
    metric.process({'skipped': [SkippedSample('x/3', 'image_unreadable')]}, [])
    assert metric.evaluate(1)[f'{benchmark}/accuracy'] == 0


def test_a_skipped_question_counts_in_its_setting_and_costs_its_image():
    metric = VQAMetric('pope')
    yes = VQAQuestion('random/1', 'q', 'yes', 'x.png', category='random')
    batch = {'skipped': [SkippedSample('x/random/2', 'image_unreadable')]}
    metric.process(batch, [predicted(yes, 'yes')])
    scores = metric.evaluate(2)
    assert scores['pope/random/accuracy'] == scores['pope/accuracy'] == 50
    metric = VQAMetric('mme')
    right = VQAQuestion('count/1/1', 'q', 'yes', 'x', category='count', group='count/1')
    batch = {'skipped': [SkippedSample('x/count/1/2', 'image_unreadable')]}
    metric.process(batch, [predicted(right, 'yes')])
    # One of two answers, no whole image.
    assert metric.evaluate(2)['mme/task/count'] == 50


def test_tasks_that_mme_lacks_are_named_beside_its_sums():
    metric = VQAMetric('mme')
    for number, answer in enumerate(('yes', 'no'), 1):
        question = VQAQuestion(f'OCR/1/{number}', 'q', answer, 'x', category='OCR', group='OCR/1')
        metric.process(None, [predicted(question, answer)])
    scores = metric.evaluate(2)
    assert math.isnan(scores['mme/perception']) and scores['mme/partial_perception'] == 200
    said = metric.notes['mme/perception']
    assert 'existence' in said and 'OCR' not in said and 'partial_perception' in said
    assert 'code_reasoning' in metric.notes['mme/cognition']
    assert scores['mme/num_missing_tasks'] == 13


def test_a_skipped_rotation_costs_its_question_and_a_skipped_figure_its_pair():
    metric = VQAMetric('mmbench')
    right = VQAQuestion('7', 'q', 'A', choices=('x', 'y'), group='7')
    batch = {'skipped': [SkippedSample('mmbench/1000007', 'image_unreadable')]}
    metric.process(batch, [predicted(right, 'A')])
    assert metric.evaluate(2)['mmbench/circular_accuracy'] == 0
    metric = VQAMetric('hallusionbench')
    place = ('category', 'subcategory', 'set_id', 'figure_id', 'question_id')
    meta = dict(zip(place, ('VD', 'map', '0', '1', '2'), strict=True))
    right = VQAQuestion('VD/map/0/1/2', 'q', 'yes', 'x.png', category='VD', meta=meta)
    # Another question about the same figure, and the same one about another figure.
    lost = [SkippedSample(f'x/VD/map/0/{pair}', 'image_unreadable') for pair in ('1/3', '4/2')]
    metric.process({'skipped': lost}, [predicted(right, 'yes')])
    scores = metric.evaluate(3)
    assert scores['hallusionbench/figure_accuracy'] == 0
    assert scores['hallusionbench/question_accuracy'] == 0
    metric = VQAMetric('scienceqa')
    batch = {'skipped': [SkippedSample('x/3', 'image_unreadable')]}
    metric.process(batch, [predicted(QUESTIONS[0], 'A')])
    assert metric.evaluate(2)['scienceqa/image_accuracy'] == 50


class StrictJudge:
    def __init__(self, right):
        self.right = right

    def score(self, question, answer, truth):
        return self.right if answer == truth else 0.0


def test_mmvet_is_graded_where_there_is_a_judge():
    question = VQAQuestion('1', 'q', 'x', 'x.png', meta={'capability': ['ocr']})
    judged = VQAMetric('mmvet', dict(type=StrictJudge, right=0.8))
    judged.process(None, [predicted(question, 'x')])
    assert judged.evaluate(1)['mmvet/ocr/accuracy'] == 80
    alone = VQAMetric('mmvet')
    alone.process(None, [predicted(question, 'x')])
    assert math.isnan(alone.evaluate(1)['mmvet/accuracy'])
    assert 'score_vqa' in alone.notes['mmvet/accuracy']
    assert alone.entries[0]['answer'] == 'x' and math.isnan(alone.sample_scores(alone.entries)[0])


def test_what_it_cannot_score_is_said():
    with pytest.raises(ValueError, match='one of ai2d'):
        VQAMetric('vqa99')
    prediction = GroundingPrediction(GroundingSample('x/1'), torch.zeros(0, 1, 1), text='A')
    with pytest.raises(ValueError, match='VQABenchmark'):
        VQAMetric('pope').process(None, [prediction])
