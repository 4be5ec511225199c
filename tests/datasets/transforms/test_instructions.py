"""Instructions become words: sentences, marks, coordinates; too long samples are counted."""

import random
from types import SimpleNamespace

import pytest
import torch

from flmm.datasets.instruction import Instruction, location, mark_part
from flmm.datasets.transforms import PrepareDialogue, TurnAsPrompt, WriteTurns
from flmm.structures import GroundingSample, SkippedSample, Turn

BOX = [20, 10, 60, 40]
ASKED = Instruction('grounding', {'expr': [mark_part('des', 'a cat')]}, [{'box': BOX}])
OPEN = Instruction(
    'question', {'question': [mark_part('qes', 'Who?')]}, None, bare='Who? Be brief.'
)
QUESTIONS = {'grounding': ['Where is {expr}?', 'Find {expr}.'], 'question': ['Say: {question}']}


def turn_of(instruction, shape=(100, 200), **options):
    writer = WriteTurns(QUESTIONS, **options)
    turn = writer.turn(vars(instruction), shape, random.Random(0))
    return turn.request, turn.answer


def test_questions_have_marks_and_answers_have_none():
    box = '[0.100,0.100,0.300,0.400]'
    assert turn_of(ASKED, choose='first') == ('Where is <des>a cat</des>?', box)
    shown = Instruction('grounding', {'expr': [location(BOX)]}, [location(BOX)])
    assert turn_of(shown, choose='first') == (f'Where is <loc>{box}</loc>?', box)


def test_without_marks_a_question_may_have_words_of_its_own():
    assert turn_of(OPEN) == ('Say: <qes>Who?</qes>', None)
    assert turn_of(OPEN, marks=False) == ('Who? Be brief.', None)
    assert turn_of(ASKED, marks=False, choose='first')[0] == 'Where is a cat?'


def test_coordinates_are_of_the_dialect():
    # The square of side 200 has 50 rows above the image.
    square = turn_of(ASKED, dialect='normalised_square')[1]
    assert square == '[0.100,0.300,0.300,0.450]'
    point = Instruction('', {'question': [{'point': [50, 25]}]}, ['x'])
    assert turn_of(point)[0] == '[0.250,0.250]'


def sample_of(*instructions, key='k'):
    meta = {'instructions': [vars(one) for one in instructions], 'draw_key': key}
    return GroundingSample('s', ori_shape=(100, 200), meta=meta)


def test_sentences_are_drawn_by_the_sample_s_key_alone():
    def drawn(key):
        return WriteTurns(QUESTIONS)(sample_of(ASKED, key=key)).turns[0].request

    requests = [drawn(str(number)) for number in range(40)]
    assert requests == [drawn(str(number)) for number in range(40)]
    # Forty draws of two sentences, four standard deviations.
    assert 7 < sum(request.startswith('Find') for request in requests) < 33


def test_instructions_are_written_once_and_must_be_there():
    sample = WriteTurns(QUESTIONS)(sample_of(ASKED, OPEN))
    assert len(sample.turns) == 2 and 'instructions' not in sample.meta
    with pytest.raises(ValueError, match='no instructions'):
        WriteTurns(QUESTIONS)(sample)
    with pytest.raises(ValueError, match='choose'):
        WriteTurns(QUESTIONS, choose='last')


def test_a_sample_that_is_too_long_is_skipped_with_its_phrases():
    def processor(sample):
        return SimpleNamespace(input_ids=torch.zeros(len(sample.turns)))

    two = WriteTurns(QUESTIONS)(sample_of(ASKED, ASKED))
    assert PrepareDialogue(processor, longest=2)(two) is two and len(two.lmm_inputs.input_ids) == 2
    skipped = PrepareDialogue(processor, longest=1)(two)
    assert isinstance(skipped, SkippedSample)
    assert (skipped.reason, skipped.detail) == ('too_long', '2 tokens, more than 1')


def test_the_only_turn_is_asked_as_the_prompt():
    sample = WriteTurns(QUESTIONS, marks=False, choose='first')(sample_of(ASKED))
    sample.image = object()
    asked = TurnAsPrompt()(sample)
    assert asked.prompt == '<image>\nWhere is a cat?' and asked.turns == []
    with pytest.raises(ValueError, match='0 turns; expected one'):
        TurnAsPrompt()(asked)
    bare = WriteTurns(QUESTIONS, marks=False, choose='first')(sample_of(ASKED))
    assert TurnAsPrompt()(bare).prompt == 'Where is a cat?'
    bare.turns, bare.image = [Turn('x', None)], object()
    assert TurnAsPrompt('<image>')(bare).prompt == '<image>x'
