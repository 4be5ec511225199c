"""Recorded prompts of Pink: finding the question in them, and writing them again."""

from flmm.apis.golden.pink_text import _request, _sentence, _turns, _written
from flmm.datasets.instruction import Instruction, location, mark_part
from flmm.datasets.transforms import WriteTurns
from flmm.models.lmms.dialogue_processor import DIALOGUE_TEMPLATES
from flmm.structures import Turn

LLAMA2, LLAMA1 = (DIALOGUE_TEMPLATES[name] for name in ('pink_llama2', 'pink_llama1'))
PROMPT = '[INST] <<SYS>>\nImage: <im_patch>*16\n<</SYS>>\n\nWhere is <des>a cat</des>? [/INST] '
BOX = '[0.100,0.200,0.500,0.600]'
RECORDED = f'{PROMPT}{BOX} </s><s>'
GROUNDING = Instruction(
    'grounding', {'expr': [mark_part('des', 'a cat')]}, [{'box': [10, 20, 50, 60]}]
)


def test_the_first_question_is_what_stands_between_image_and_answer():
    assert _request(RECORDED, LLAMA2) == 'Where is <des>a cat</des>?'
    text = 'Image: <im_patch>*4\nUSER: Why?\nASSISTANT: So.</s>'
    assert _request(text, LLAMA1) == 'Why?'
    assert _request('Image: <im_patch>*4\nWhy?', LLAMA1) is None


def test_a_question_becomes_a_sentence_where_all_fields_stand_in_it():
    write, shape = WriteTurns(), (100, 100)
    assert _sentence('Where is <des>a cat</des>?', GROUNDING, write, shape) == 'Where is {expr}?'
    assert _sentence('Where is <des>a dog</des>?', GROUNDING, write, shape) is None
    # Marks or coordinates that no field accounts for: another question.
    two = 'Where is <des>a cat</des>, not <des>a dog</des>?'
    assert _sentence(two, GROUNDING, write, shape) is None
    assert _sentence(f'Is <des>a cat</des> at {BOX}?', GROUNDING, write, shape) is None


def test_a_field_inside_another_is_replaced_after_it():
    instruction = Instruction('x', {'a': ['car'], 'b': ['car park']}, ['yes'])
    assert (
        _sentence('Is the car park a car?', instruction, WriteTurns(), (9, 9))
        == 'Is the {b} a {a}?'
    )


def test_turns_carry_the_recorded_sentence_and_our_answer():
    (turn,) = _turns([GROUNDING], RECORDED, (100, 100), 'pink_llama2', marks=True)
    assert (turn.request, turn.answer) == ('Where is <des>a cat</des>?', BOX)
    shown = Instruction('region_caption', {'objs': [location([0, 0, 9, 9])]}, ['a cat'])
    assert _turns([shown], RECORDED, (100, 100), 'pink_llama2', marks=True) is None


def test_a_prompt_is_written_as_it_was_recorded():
    turns = [Turn('Where is <des>a cat</des>?', BOX)]
    assert _written(LLAMA2, turns, RECORDED) == RECORDED
    # A text without image says so; every answer ends with the end token.
    turns = [Turn('Hi', 'Ho'), Turn('So?', 'Yes')]
    assert _written(LLAMA1, turns, 'no image here') == (
        'Image: N/A\nUSER: Hi\nASSISTANT: Ho</s>USER: So?\nASSISTANT: Yes</s>'
    )
