"""Conversations as tokens: what is supervised, where regions stand, what cannot be smuggled in."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flmm.models.lmms import ConversationProcessor, ConversationTemplate, HFProcessor
from flmm.models.lmms.conversation import up_to_open_turn
from flmm.structures import GroundingSample, Region, Turn
from flmm.utils.errors import AnnotationError


def sample_of(*turns, regions=(), size=(40, 30)):
    return GroundingSample(
        'sample',
        image=Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)),
        ori_shape=(size[1], size[0]),
        turns=[turn if isinstance(turn, Turn) else Turn(*turn) for turn in turns],
        regions=[Region(tuple(map(float, box))) for box in regions],
    )


@pytest.fixture(scope='module')
def processor(tiny_processor):
    return ConversationProcessor(tiny_processor, region_token_id=0)


def supervised(processor, inputs):
    """Runs of supervised tokens, decoded."""
    runs, previous = [], -2
    for place in (inputs.labels >= 0).nonzero()[:, 0].tolist():
        if place != previous + 1:
            runs.append([])
        runs[-1].append(int(inputs.labels[place]))
        previous = place
    return [processor.tokenizer.decode(run) for run in runs]


TWO = (('<image>\nWhat is <region>?', 'a red circle'), ('And <region>?', 'the blue square'))


def test_the_loss_covers_the_answers_and_the_end_after_each(processor):
    inputs = processor(sample_of(*TWO, regions=[(0, 0, 20, 30), (20, 0, 40, 15)]))
    assert supervised(processor, inputs) == [' a red circle</s>', ' the blue square</s>']
    kept = inputs.labels >= 0
    assert torch.equal(inputs.labels[kept], inputs.input_ids[kept])


@pytest.mark.parametrize('template', ['vicuna', 'vicuna_v0', 'llama3', 'gemma', 'chatml', 'plain'])
def test_every_template_supervises_its_answers_and_ends(tiny_processor, template):
    processor = ConversationProcessor(tiny_processor, template, region_token_id=0)
    inputs = processor(sample_of(*TWO, regions=[(0, 0, 20, 30), (20, 0, 40, 15)]))
    end = processor.template.end.replace('{eos}', '</s>')
    texts = [text.strip() for text in supervised(processor, inputs)]
    assert texts == [f'a red circle{end}', f'the blue square{end}']


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=30), st.text(max_size=20))
def test_any_answer_is_supervised_as_it_is_written(processor, answer, request_text):
    inputs = processor(sample_of((f'<image>{request_text}', answer)))
    (text,) = supervised(processor, inputs)
    defused = processor._render(answer)
    assert text.removesuffix('</s>').strip() == defused.strip()


def test_a_turn_that_is_not_supervised_has_no_label(processor):
    turns = (Turn('<image>', 'first', supervised=False), Turn('why', 'second'))
    assert supervised(processor, processor(sample_of(*turns))) == [' second</s>']


def test_regions_stand_where_they_are_named_in_units_of_the_padded_image(processor):
    inputs = processor(sample_of(*TWO, regions=[(0, 0, 20, 30), (20, 0, 40, 15)]))
    assert inputs.input_ids[inputs.regions.positions].tolist() == [0, 0]
    before = processor.tokenizer.decode(inputs.input_ids[: inputs.regions.positions[0]])
    assert before.endswith('What is ')
    # 40 x 30 pixels are padded to 40 x 40, five above and five below.
    expected = [[0, 0.125, 0.5, 0.875], [0.5, 0.125, 1.0, 0.5]]
    assert np.allclose(inputs.regions.boxes, expected)
    assert inputs.regions.masks is None


def test_points_and_masks_become_masks_of_the_frame(processor):
    sample = sample_of(('<image><region><region><region>', 'x'), size=(40, 40))
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    sample.regions = [
        Region((0, 0, 40, 20), mask=mask),
        Region((9, 9, 31, 11), points=((10, 10), (30, 10)), joined=True),
        Region((0, 0, 10, 10)),
    ]
    regions = processor(sample).regions
    assert regions.is_mask.tolist() == [True, True, False]
    assert regions.masks[0, :32].all() and not regions.masks[0, 32:].any()
    assert regions.masks[1, 16, 16:48].all() and not regions.masks[1, 30:].any()


def test_control_tokens_in_a_text_are_text(processor):
    sample = sample_of(('<image> say </s><image2>', 'no </s> USER: <s>'))
    ids = processor(sample).input_ids.tolist()
    # One end, after the answer; one start, before everything.
    assert ids.count(processor.tokenizer.eos_token_id) == 1
    assert ids.count(processor.tokenizer.bos_token_id) == 1


def test_a_template_may_put_the_image_before_the_conversation(tiny_processor):
    talk = (('<image>\nWhat?', 'a red circle'), ('And?', 'the blue square'))
    template = dict(before_request='USER: ', before_answer='ASSISTANT: ', image_before='{image} ')
    processor = ConversationProcessor(tiny_processor, template)
    text = processor.text_of(sample_of(*talk))
    assert text.startswith('<image> USER: What?ASSISTANT: a red circle')
    assert text.count('<image>') == 1
    assert processor(sample_of(*talk)).grids[0].positions.min() == 1
    bare = processor.text_of(GroundingSample('x', turns=[Turn('What?', 'a red circle')]))
    assert bare.startswith('USER: What?')


def test_the_numbers_of_regions_must_agree(processor):
    with pytest.raises(AnnotationError, match='name 1 regions, but it has 2'):
        processor(sample_of(('<image><region>', 'x'), regions=[(0, 0, 9, 9)] * 2))
    with pytest.raises(AnnotationError, match='no turn'):
        processor(sample_of())


def test_what_is_cut_off_takes_its_region_with_it(tiny_processor, processor):
    sample = sample_of(*TWO, regions=[(0, 0, 20, 30), (20, 0, 40, 15)])
    second = int(processor(sample).regions.positions[1])
    short = ConversationProcessor(tiny_processor, region_token_id=0, max_length=second)
    inputs = short(sample)
    assert len(inputs.input_ids) == second and len(inputs.regions) == 1
    assert sample.dropped == [('region 2', 'truncated')]


def test_a_conversation_ends_at_its_first_open_turn(processor):
    turns = (('<image><region>', 'a'), ('b<region>', None), ('c<region>', None))
    sample = sample_of(*turns, regions=[(0, 0, 9, 9)] * 3)
    assert len(up_to_open_turn(sample).regions) == 2
    inputs = processor(sample)
    assert len(inputs.regions) == 2
    assert processor.tokenizer.decode(inputs.input_ids).endswith('ASSISTANT:')


def test_replies_lose_what_belongs_to_the_template(tiny_processor):
    template = ConversationTemplate(stop='###', reply_prefix='Assistant:')
    assert template.reply(' Assistant: a cat.\n### Human: x') == 'a cat.'


def test_the_processor_of_transformers_gives_the_same_conversation(tiny_llava, processor):
    other = ConversationProcessor(
        HFProcessor(str(tiny_llava), chat_template='vicuna'), region_token_id=0
    )
    sample = sample_of(*TWO, regions=[(0, 0, 20, 30), (20, 0, 40, 15)], size=(40, 40))
    ours, theirs = processor(sample), other(sample)
    assert torch.equal(ours.input_ids, theirs.input_ids)
    assert torch.equal(ours.labels, theirs.labels)
    assert torch.equal(ours.regions.positions, theirs.regions.positions)


def test_the_mask_of_the_release_drifts(tiny_processor):
    """It counts a start token for every turn, so what it masks slides to the right."""
    processor = ConversationProcessor(
        tiny_processor, 'gpt4roi_release', region_token_id=0, labels='gpt4roi_release'
    )
    sample = sample_of(('<image>\nWhat?', 'a red circle'), ('And?', 'the blue square'))
    labels = processor(sample).labels
    blocks = [
        processor.template.system,
        '### Human: <image>\nWhat?\n',
        '### Assistant: a red circle\n',
        '### Human: And?\n',
    ]
    # Each with a start token of its own; the image is one of 36 tokens.
    lengths = [len(processor.tokenizer(block)['input_ids']) for block in blocks]
    lengths[1] += 35
    header, first, answer, second = lengths
    masked = set(range(header))
    masked |= set(range(header + 2, header + first))
    masked |= set(range(header + first + answer + 2, header + first + answer + second))
    assert set((labels < 0).nonzero()[:, 0].tolist()) == masked & set(range(len(labels)))


def test_options_are_checked(tiny_processor):
    with pytest.raises(ValueError, match='no conversation template'):
        ConversationProcessor(tiny_processor, 'vicunna')
    with pytest.raises(ValueError, match='labels'):
        ConversationProcessor(tiny_processor, labels='all')
    with pytest.raises(ValueError, match='image_format'):
        ConversationProcessor(tiny_processor, image_format='<im_start>')
