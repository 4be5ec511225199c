import pytest

from flmm.evaluation import short_answers as answers


@pytest.mark.parametrize(
    ('text', 'plain'),
    [('The T-shirt', 'T shirt'), ('10,000', '10000'), ('3.5', '3.5'), ('Yes.', 'Yes')],
)
def test_punctuation_goes_as_in_the_vqa_evaluation(text, plain):
    assert answers.strip_punctuation(text).removeprefix('The ') == plain


def test_words_are_spelled_alike():
    assert answers.spell_alike('The two dogs dont bark') == "2 dogs don't bark"
    assert answers.spell_alike('None') == '0'


def test_vqa_accuracy_is_the_mean_over_left_out_annotators():
    # Two of ten said yes: for those two 1/3 is left, for the other eight 2/3.
    truths = ['yes'] * 2 + ['no'] * 8
    assert answers.vqa_accuracy('Yes.', truths) == pytest.approx((2 / 3 + 16 / 3) / 10)
    assert answers.vqa_accuracy('no', truths) == 1.0


def test_the_original_script_normalises_only_where_annotators_differ():
    assert answers.vqa_accuracy('two', ['2'] * 10) == 1.0
    assert answers.vqa_accuracy('two', ['2'] * 10, always_normalise=False) == 0.0
    assert answers.vqa_accuracy('red', ['red']) == 1.0
    with pytest.raises(ValueError, match='at least one'):
        answers.vqa_accuracy('red', [])


def test_gqa_exact_and_lenient():
    assert answers.gqa_match('Yes', 'yes', 'Yes, it is.') == (True, True)
    assert answers.gqa_match('a red car', 'red') == (False, True)
    assert answers.gqa_match('right', 'left', 'on the left') == (False, False)
    # No answer at all, or one of which the rules leave nothing, is in no truth.
    assert answers.gqa_match('', 'left') == answers.gqa_match('the.', 'left') == (False, False)
    # Nor is a truth of which they leave nothing in every answer.
    assert answers.gqa_match('a dog', 'a') == answers.gqa_match('dog', '...') == (False, False)
    assert answers.gqa_match('The', 'a') == (True, True)


@pytest.mark.parametrize(
    ('text', 'index'),
    [('The answer is B.', 1), ('B', None), ('The answer is A. The answer is C.', None)],
)
def test_an_option_is_named_exactly_once(text, index):
    assert answers.chosen_option(text) == index


def test_yes_and_no():
    assert answers.yes_no_match('Yes, it is', True)
    assert not answers.yes_no_match('I do not know', False)
    assert answers.yes_no_match('I do not know', False, strict=False)  # the release's rule


def test_pointing_scores():
    assert answers.point_answer_match('Red', 'red')
    assert answers.point_answer_match('two', 'Two')
    assert not answers.point_answer_match('two', 'Two', fold_truth=False)
    assert answers.count_match('3', '2') == (False, True)
    assert answers.count_match('many', '2') == (False, False)
    assert answers.majority(['1', '2', '2', '1']) == '1'
