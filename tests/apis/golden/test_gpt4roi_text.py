"""Recorded conversations of GPT4RoI become templates, from which they can be drawn again."""

import pytest

from flmm.apis.golden.gpt4roi_text import _llava_templates, _templates

IMAGE = '<im_start><im_patch>*256<im_end>'


def written(*turns):
    """A conversation as recorded; turns are (request, answer)."""
    return 'system\n\n' + ''.join(
        f'### Human: {request}\n### Assistant: {answer}\n' for request, answer in turns
    )


def templates(name, *turns):
    return _templates(name, {'conversation': written(*turns)}, None)


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('coco_det_testmode', 'coco_detection'),
        ('refcoco', 'refcoco'),
        ('refcocop', 'refcoco_plus'),
    ],
)
def test_bare_regions_follow_what_introduces_them(name, kind):
    found = templates(name, (f'{IMAGE} Name them. <bbox>', 'cat'), ('<bbox>', 'dog'))
    assert found == {kind: {'overview': ['<image> Name them. '], 'questions': ['{token}']}}


def test_questions_about_regions_are_kept_once_each():
    found = templates(
        'refcocog',
        (f'{IMAGE} Look.\nWhat is region1 <bbox>?', 'a'),
        ('What is region2 <bbox>?', 'b'),
        ('And region3 <bbox>?', 'c'),
    )
    assert found == {
        'refcocog': {
            'overview': ['<image> Look.\n'],
            'questions': ['What is {region}?', 'And {region}?'],
        }
    }


def test_a_sentence_about_several_regions_and_questions_for_its_phrases():
    found = templates(
        'flickr',
        (f'{IMAGE} Look.\nTell of region1 <bbox>,region2 <bbox>.', 'A dog and a cat.'),
        ('Who is region 1?', 'A dog'),
        ('Who is region 2?', 'a cat'),
    )['flickr30k']
    assert found['questions'] == ['Tell of {regions}.']
    assert found['phrase_questions'] == ['Who is region {number}?']
    assert found['joiner'] == [',']


def test_vcr_has_a_list_of_regions_before_the_question_and_asks_why():
    turns = [
        (f'{IMAGE} Look.\nregion1 <bbox>,region2 <bbox> are there. Why is it so?', 'x'),
        ('Tell me why.', 'y'),
    ]
    found = templates('vcr', *turns)['vcr']
    assert found['why'] == ['Tell me why.']
    assert found['region_list'] == ['{regions} are there. ']
    # Where regions stand in the question itself there is no list.
    assert 'region_list' not in templates('single_vcr', *turns)['vcr']
    assert templates('multi_vcr', turns[0])['vcr']['why'] == ['why']


def test_llava_s_introduction_with_and_without_regions():
    assert _llava_templates('Hi.\nThe <image> is shown.\n\nWhat?') == {
        'overview': ['The <image> is shown.\n']
    }
    found = _llava_templates('The <image> shows <bbox> the cat,<bbox> the big dog,.\n\nWhat?')
    assert found['region'] == ['{token} the {name},']
