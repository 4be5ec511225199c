"""Questions, what was written and what is annotated, as lines."""

import torch
from PIL import Image

from flmm.structures import (
    ConversationPrediction,
    GroundingPrediction,
    GroundingSample,
    Phrase,
    TextPiece,
    Turn,
)
from flmm.visualization.answers import WRITTEN, answer_lines, sample_lines
from flmm.visualization.colours import phrase_colour

NO_MASKS = torch.zeros(0, 20, 30, dtype=torch.bool)
VQA = {'question': 'Is it red?', 'answer': 'yes'}


def sample(**fields):
    return GroundingSample('a', image=Image.new('RGB', (30, 20)), ori_shape=(20, 30), **fields)


def texts(lines):
    return [' '.join(word.text for word in line) for line in lines]


def test_open_turns_show_the_written_answers_in_their_order():
    turns = [Turn('What is <region>?', None), Turn('And <region>?', None)]
    asked = sample(turns=turns, meta={'references': ['a red ring', 'a ring']})
    lines = answer_lines(ConversationPrediction(asked, 'a blue cross', ['a ring', 'a blue cross']))
    assert texts(lines) == [
        'User: What is  <region> ?',
        'Assistant wrote: a ring',
        'User: And  <region> ?',
        'Assistant wrote: a blue cross',
        'Annotated: a red ring | a ring',
    ]
    # Each region in its own colour; what a system wrote is told from what is given.
    assert [line[1].colour for line in lines[:4]] == [
        phrase_colour(0),
        WRITTEN,
        phrase_colour(1),
        WRITTEN,
    ]


def test_a_known_answer_is_shown_as_annotated_beside_the_written_one():
    turns = [Turn('How many?', '3'), Turn('Where is it?', 'C 3 F 7')]
    lines = texts(answer_lines(ConversationPrediction(sample(turns=turns), 'C 3 F 8')))
    assert lines == [
        'User: How many?',
        'Assistant: 3',
        'User: Where is it?',
        'Assistant wrote: C 3 F 8',
        'Annotated: C 3 F 7',
    ]


def test_an_answer_that_is_empty_is_said_to_be():
    lines = answer_lines(ConversationPrediction(sample(turns=[Turn('What?', None)])))
    assert texts(lines)[1] == 'Assistant wrote: (nothing)'


def test_a_question_of_a_benchmark_shows_prompt_answer_and_truth():
    asked = sample(prompt='<image>\nIs it red?', meta={'vqa': VQA})
    lines = answer_lines(GroundingPrediction(asked, NO_MASKS, text='no'))
    assert texts(lines) == ['User: <image>\nIs it red?', 'Assistant wrote: no', 'Annotated: yes']
    assert texts(sample_lines(asked)) == ['User: <image>\nIs it red?', 'Annotated: yes']


def test_candidates_show_which_one_is_right_and_which_one_was_taken():
    group = {'turns': [['Why?', None]], 'candidates': ['a ring', 'a cross'], 'label': 1}
    asked = sample(turns=[Turn('Why?', None)], meta={'choices': {'q2a': group}})
    chosen = ConversationPrediction(asked, choices={'q2a': 0}, scores={'q2a': [-0.5, -1.25]})
    lines = answer_lines(chosen)
    assert texts(lines) == ['q2a: Why?', '· a ring (-0.50) ← chosen', '✓ a cross (-1.25)']
    assert [line[0].colour for line in lines] == [None, WRITTEN, None]
    assert texts(sample_lines(asked)) == ['q2a: Why?', '· a ring', '✓ a cross']


def test_a_text_that_is_grounded_keeps_the_colours_of_its_phrases():
    pieces = [TextPiece('see'), TextPiece('the sky', 0)]
    grounded = sample(prompt='Describe it.', pieces=pieces, phrases=[Phrase('the sky')])
    masks = torch.zeros(1, 20, 30, dtype=torch.bool)
    for text in ('', 'see the sky'):
        (line,) = answer_lines(GroundingPrediction(grounded, masks, text=text))
        assert [word.colour for word in line] == [None, phrase_colour(0)]
    other = texts(answer_lines(GroundingPrediction(grounded, masks, text='a dog')))
    assert other == ['User: Describe it.', 'Assistant wrote: a dog', 'Annotated: see the sky']


def test_what_a_turn_says_already_is_not_repeated_and_long_lists_are_cut():
    talk = sample(turns=[Turn('How many?', '3')], meta={'answers': ['3']})
    assert texts(sample_lines(talk)) == ['User: How many?', 'Assistant: 3']
    talk.meta['answers'] = [str(number) for number in range(8)]
    assert texts(sample_lines(talk))[-1] == 'Annotated: 0 | 1 | 2 | 4 | 5 and 2 more'
