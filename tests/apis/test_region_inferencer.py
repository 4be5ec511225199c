"""Asking about regions: one and several, over turns, in batches, streamed."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from flmm.apis.region_inferencer import RegionInferencer
from flmm.models.lmms import ConversationProcessor, LMMProcessor, PadToSquareImageProcessor
from flmm.models.roi_extractors import MultiLevelRoIQuery
from flmm.models.systems import GPT4RoI
from flmm.structures import Region
from flmm.utils.errors import FLMMError

BOXES = [(0, 0, 20, 20), (10, 5, 40, 30)]


@pytest.fixture(scope='module')
def inferencer(tiny_llava):
    processor = dict(
        type=ConversationProcessor,
        processor=dict(
            type=LMMProcessor,
            tokenizer=str(tiny_llava),
            image_processor=dict(type=PadToSquareImageProcessor, size=48, patch_size=8),
        ),
        region_token_id=0,
    )
    extractor = dict(type=MultiLevelRoIQuery, hidden_channels=8, roi_size=2, rounds=1, shapes=True)
    model = dict(
        type=GPT4RoI,
        lmm=dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32'),
        roi_extractor=extractor,
        processor=processor,
        levels=(1, 2),
        max_new_tokens=6,
    )
    return RegionInferencer(Config(dict(model=model)), device='cpu')


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_several_turns_become_one_dialogue(inferencer):
    talk = inferencer.dialogue(picture(0), BOXES)
    answers = [inferencer.ask(talk, q) for q in ('What is <region1>?', 'Like <region2>?', 'Why?')]
    assert [turn.answer for turn in talk.turns] == answers


def test_a_batch_answers_as_one_by_one(inferencer):
    questions = ['What is <region1>?', 'Say more about <region2> and <region1>, please.', 'Hm?']
    talks = [inferencer.dialogue(picture(i), BOXES) for i in range(3)]
    together = inferencer.ask_batch(list(zip(talks, questions, strict=True)))
    alone = [
        inferencer.ask(inferencer.dialogue(picture(i), BOXES), question)
        for i, question in enumerate(questions)
    ]
    assert together == alone


def test_a_stream_grows_to_the_whole_answer(inferencer):
    whole = inferencer.ask(inferencer.dialogue(picture(1), BOXES), 'What is <region1>?')
    talk = inferencer.dialogue(picture(1), BOXES)
    parts = list(inferencer.stream(talk, 'What is <region1>?'))
    assert (parts[-1] if parts else '') == whole == talk.turns[0].answer
    assert len(parts) > 1


def test_points_scribbles_and_masks_are_regions_too(inferencer):
    mask = np.zeros((30, 40), bool)
    mask[3:20, 5:30] = True
    regions = [
        Region(points=((10, 10),)),
        Region(points=((5, 5), (30, 20)), joined=True),
        Region(mask=mask),
    ]
    talk = inferencer.dialogue(picture(2), regions)
    assert isinstance(inferencer.ask(talk, '<region1> <region2> <region3>?'), str)


def test_a_model_of_boxes_alone_says_so(inferencer, monkeypatch):
    monkeypatch.setattr(inferencer.model.roi_extractor, 'shape_pooling', None)
    talk = inferencer.dialogue(picture(2), [Region(points=((10, 10),))])
    with pytest.raises(FLMMError, match='trained on boxes'):
        inferencer.ask(talk, 'What is <region1>?')
    assert talk.turns == []


def test_a_mask_of_another_size_is_an_error(inferencer):
    talk = inferencer.dialogue(picture(2), [Region(mask=np.ones((40, 30), bool))])
    with pytest.raises(FLMMError, match=r'mask of \(40, 30\)'):
        inferencer.ask(talk, 'What is <region1>?')


def test_a_degenerate_region_is_an_error_that_leaves_the_dialogue_as_it_was(inferencer):
    talk = inferencer.dialogue(picture(0), [(5, 5, 5, 9)])
    with pytest.raises(FLMMError, match='no inside'):
        inferencer.ask(talk, 'What is <region1>?')
    assert talk.turns == []


def test_an_error_while_streaming_reaches_the_reader(inferencer, monkeypatch):
    def broken(**_arguments):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(inferencer.model.lmm.model, 'generate', broken)
    with pytest.raises(RuntimeError, match='out of memory'):
        list(inferencer.stream(inferencer.dialogue(picture(0), BOXES), 'What?'))
