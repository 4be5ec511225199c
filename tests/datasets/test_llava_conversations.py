"""LLaVA conversations: the loss falls on the answers, bad files name their fault."""

import json

import numpy as np
import pytest
from PIL import Image

from flmm.datasets.llava_conversations import (
    LlavaConversations,
    collate_conversations,
    pad_to_square,
)
from flmm.datasets.toy.tokenizer import train_bpe, wrap_tokenizer
from flmm.models.lmms.tiny_llava import write_untrained_tiny_llava
from flmm.utils.errors import AnnotationError, ImageError

TURNS = [
    {'from': 'human', 'value': '<image>\nWhat is it?'},
    {'from': 'gpt', 'value': 'a star .'},
    {'from': 'human', 'value': 'Where?'},
    {'from': 'gpt', 'value': 'left'},
]


@pytest.fixture(scope='module')
def processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tiny')
    corpus = ['USER: \nWhat is it? ASSISTANT: a star . Where? left'] * 3
    write_untrained_tiny_llava(folder, wrap_tokenizer(train_bpe(corpus)))
    return str(folder)


def dataset_of(tmp_path, entries, processor):
    (tmp_path / 'talk.json').write_text(json.dumps(entries))
    Image.fromarray(np.full((20, 40, 3), 200, np.uint8)).save(tmp_path / 'a.png')
    return LlavaConversations(str(tmp_path), 'talk.json', processor)


def test_labels_are_the_answers_with_their_end_marks(tmp_path, processor):
    entry = {'id': '1', 'image': 'a.png', 'conversations': TURNS}
    dataset = dataset_of(tmp_path, [entry], processor)
    sample, tokenizer = dataset[0], dataset.processor.tokenizer
    labels = sample['labels'][sample['labels'] >= 0]
    assert tokenizer.decode(labels) == 'a star .</s> left</s>'
    assert (sample['input_ids'] == dataset.image_token_id).sum() == 144
    assert sample['pixel_values'].shape == (3, 96, 96)


def test_tokens_are_those_of_the_real_processor(tmp_path, processor):
    entry = {'id': '1', 'image': 'a.png', 'conversations': TURNS[:2]}
    dataset = dataset_of(tmp_path, [entry], processor)
    real = dataset.processor(
        images=Image.new('RGB', (96, 96)),
        text='USER: <image>\nWhat is it? ASSISTANT:',
        return_tensors='pt',
    ).input_ids[0]
    assert dataset[0]['input_ids'][: len(real)].tolist() == real.tolist()


def test_collate_pads_on_the_right(tmp_path, processor):
    entries = [
        {'id': '1', 'image': 'a.png', 'conversations': TURNS},
        {'id': '2', 'image': 'a.png', 'conversations': TURNS[:2]},
    ]
    dataset = dataset_of(tmp_path, entries, processor)
    batch = collate_conversations([dataset[0], dataset[1]])
    short = len(dataset[1]['input_ids'])
    assert batch['attention_mask'][1].sum() == short
    assert (batch['labels'][1, short:] == -100).all()
    assert batch['pixel_values'].shape == (2, 3, 96, 96)


def test_image_is_centred_on_the_mean_colour():
    square = pad_to_square(Image.new('RGB', (4, 2), 'red'), [0.5, 0.25, 0.0])
    assert square.size == (4, 4)
    assert square.getpixel((0, 0)) == (127, 63, 0) and square.getpixel((0, 1)) == (255, 0, 0)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'image': 'a.png', 'conversations': TURNS[:1]}, 'pairs of human and gpt'),
        ({'image': '../a.png', 'conversations': TURNS}, 'leaves the data root'),
        ({'conversations': TURNS}, 'string "image"'),
        ({'image': 'a.png', 'conversations': TURNS[1:3]}, '"from": "human"'),
    ],
)
def test_bad_entries_are_named(tmp_path, processor, entry, message):
    with pytest.raises(AnnotationError, match=message):
        dataset_of(tmp_path, [entry], processor)


def test_missing_files_are_named(tmp_path, processor):
    with pytest.raises(AnnotationError, match='no such file'):
        LlavaConversations(str(tmp_path), 'none.json', processor)
    entry = {'id': '1', 'image': 'gone.png', 'conversations': TURNS}
    with pytest.raises(ImageError, match='gone.png'):
        dataset_of(tmp_path, [entry], processor)[0]
