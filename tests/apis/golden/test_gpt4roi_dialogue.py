"""The recorded rounds of GPT4RoI's demo, on a recording made by hand."""

import copy
import json

import pytest
from transformers import AddedToken

from flmm.apis.golden.gpt4roi_dialogue import check_dialogue
from flmm.apis.golden.gpt4roi_text import SPECIAL_TOKENS, _processor

CELLS = 256
PROMPT = '{system}### Human: <im_start>{image}<im_end> Look.\nWhat is region1 <bbox>?\n### '


@pytest.fixture(scope='module')
def processor(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    added = [AddedToken(token, special=True) for token in SPECIAL_TOKENS]
    tokenizer.add_tokens(added, special_tokens=True)
    return _processor(tokenizer, 'cv2_bilinear')


def recorded(processor):
    def prompt(image):
        return PROMPT.format(system=processor.template.system, image=image)

    return {
        'image_size_wh': [40, 20],
        'text': 'What is <region1>?',
        'boxes_pixels_xyxy': [[10, 5, 30, 15]],
        'bboxes': [[0.25, 0.25, 0.75, 0.75]],
        'prompt': prompt(f'<im_patch>*{CELLS}'),
        'input_ids': processor.tokenizer(prompt('<im_patch>' * CELLS))['input_ids'],
    }


def failures(tmp_path, processor, *rounds):
    path = tmp_path / 'app_prompts.json'
    path.write_text(json.dumps(rounds))
    results = list(check_dialogue(path, processor))
    assert len(results) == 3 * len(rounds)
    return {result.name for result in results if not result.passed}


def test_a_round_written_by_hand_passes(tmp_path, processor):
    assert failures(tmp_path, processor, recorded(processor)) == set()


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('bboxes', [[0.25, 0.25, 0.75, 0.5]]),
        ('input_ids', [1, 2, 3]),
        ('text', 'What is <region1>, then?'),
    ],
)
def test_what_differs_is_named(tmp_path, processor, key, value):
    failed = failures(tmp_path, processor, {**recorded(processor), key: value})
    name = {'text': 'prompt'}.get(key, key)
    assert f'text/app_prompts/0/{name}' in failed
    assert ('text/app_prompts/0/bboxes' in failed) == (key == 'bboxes')


def test_the_answer_of_a_round_stands_in_the_next_one(tmp_path, processor):
    first = {**recorded(processor), 'reply_appended': 'Assistant: a cat\n'}
    second = {**recorded(processor), 'text': 'Why?', 'bboxes': first['bboxes']}
    # A second round whose prompt is the first's: the history is missing from it.
    failed = failures(tmp_path, processor, first, second)
    assert failed == {'text/app_prompts/1/prompt', 'text/app_prompts/1/input_ids'}
