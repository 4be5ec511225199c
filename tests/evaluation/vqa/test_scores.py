import pytest
from pytest import approx

from flmm.datasets.benchmarks import BENCHMARK_FILES
from flmm.evaluation.vqa import BENCHMARKS, is_right, score
from flmm.evaluation.vqa.scores import textvqa_accuracy
from flmm.structures import VQAQuestion
from flmm.utils.errors import FLMMError


def test_every_benchmark_that_is_read_is_scored():
    assert set(BENCHMARKS) == set(BENCHMARK_FILES)


def test_textvqa_leaves_each_annotator_out_once():
    # "x" was said by 2 of 10: left out themselves 1/3, the other eight see 2/3.
    truths = ['x', 'X.', *'abcdefgh']
    assert textvqa_accuracy('x', truths) == approx((2 * 1 / 3 + 8 * 2 / 3) / 10)
    assert textvqa_accuracy('x', ['x'] * 10) == 1 and textvqa_accuracy('x', []) == 0


def test_gqa_is_an_exact_match_of_normalised_words():
    question = VQAQuestion('1', 'q', 'traffic light')
    assert is_right('gqa', 'The traffic light.', question) == 1
    assert is_right('gqa', 'light', question) == 0
    assert is_right('gqa', None, question) == 0


def test_mmbench_counts_a_question_only_if_all_its_rotations_are_right():
    questions = [
        VQAQuestion(key, 'q', answer, choices=('x', 'y'), category=kind, group=group)
        for key, answer, kind, group in (
            ('1', 'A', 'ocr', '1'),
            ('1000001', 'B', 'ocr', '1'),
            ('2', 'B', 'colour', '2'),
        )
    ]
    found = score('mmbench', questions, {'1': 'A', '1000001': 'A', '2': '(B) y'})
    assert found['accuracy'] == approx(200 / 3) and found['circular_accuracy'] == 50
    assert found['ocr/accuracy'] == 50 and found['colour/accuracy'] == 100


def test_qbench_compares_the_text_of_the_option():
    question = VQAQuestion('1', 'q', 'no', choices=('Yes', 'No'))
    assert is_right('qbench', 'B', question) == 1
    # The release takes the last option, which is right here, for an answer that is no letter.
    assert is_right('qbench', 'who knows', question) == 0
    assert is_right('qbench', 'C', question) == 0


def test_scienceqa_tells_questions_with_images_apart():
    questions = [
        VQAQuestion('1', 'q', 'A', 'test/1/image.png', ('x', 'y')),
        VQAQuestion('2', 'q', 'B', '', ('x', 'y')),
    ]
    found = score('scienceqa', questions, {'1': 'A', '2': 'A'})
    assert found['accuracy'] == 50 and found['image_accuracy'] == 100


class HalfJudge:
    def score(self, question, answer, truth):
        return 1.0 if answer == truth else 0.5


def test_mmvet_is_graded_by_a_judge_and_by_capability():
    questions = [
        VQAQuestion('1', 'q', 'x', meta={'capability': ['ocr', 'math']}),
        VQAQuestion('2', 'q', 'y', meta={'capability': ['ocr']}),
        VQAQuestion('3', 'q', 'z', meta={'capability': ['know']}),
    ]
    found = score('mmvet', questions, {'1': 'x', '2': 'x'}, HalfJudge())
    assert found['accuracy'] == 50 and found['num_missing'] == 1
    assert found['ocr/accuracy'] == 75 and found['know/accuracy'] == 0
    with pytest.raises(FLMMError, match='graded by a language model'):
        score('mmvet', questions, {})


def test_a_judge_reads_the_parts_of_mmvet_s_answers_in_words():
    class Listener:
        heard = ()

        def score(self, question, answer, truth):
            self.heard += (truth,)
            return 1.0

    truths = ('6<OR>six', 'a cat <AND> a dog<AND>', 'plain')
    questions = [VQAQuestion(str(i), 'q', truth) for i, truth in enumerate(truths)]
    judge = Listener()
    score('mmvet', questions, dict.fromkeys('012', 'x'), judge)
    assert judge.heard == ('6 (or, just as right) six', 'a cat (and also) a dog', 'plain')


def test_an_unknown_benchmark_is_named():
    with pytest.raises(FLMMError, match='known: ai2d'):
        score('vqa99', [], {})


def test_a_judge_reads_the_options_that_mmbench_s_rules_do_not_find():
    class Chooser:
        asked = 0

        def choose(self, question, answer, options):
            self.asked += 1
            return options.index('dog') if 'barks' in answer else None

    judge, question = Chooser(), VQAQuestion('1', 'q', 'B', choices=('cat', 'dog'))
    assert is_right('mmbench', 'The one that barks.', question) == 0
    assert is_right('mmbench', 'The one that barks.', question, judge) == 1
    assert is_right('mmbench', 'It has fur.', question, judge) == 0 and judge.asked == 2
    assert is_right('mmbench', 'B', question, judge) == 1 and judge.asked == 2
    found = score('mmbench', [question], {'1': 'It barks.'}, judge)
    assert found['accuracy'] == found['circular_accuracy'] == 100
