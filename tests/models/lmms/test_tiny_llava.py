"""What the tiny LLaVA starts from: words, positions, a vocabulary of single tokens."""

import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from flmm.models.lmms.tiny_llava import (
    init_tiny_llava,
    sine_positions,
    single_token,
    tiny_llava_config,
)


@pytest.fixture(scope='module')
def tokenizer():
    words = ['<unk>', '<s>', '</s>', '<pad>', '<image>', 'red', 'blue', 'circle']
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token='<unk>'))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = dict(unk_token='<unk>', bos_token='<s>', eos_token='</s>', pad_token='<pad>')
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


def test_positions_are_waves_of_rows_then_columns():
    # One wave, four cells long, for each axis.
    found = sine_positions(2, 4, amplitude=0.5)
    # Cell (row, column): sine and cosine of a quarter turn per row, then per column.
    expected = [[0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0]]
    assert torch.allclose(found, 0.5 * torch.tensor(expected).float(), atol=1e-6)


def test_a_word_must_be_one_token(tokenizer):
    assert single_token(tokenizer, 'blue') == 6
    with pytest.raises(ValueError, match="'red circle' is 2 tokens"):
        single_token(tokenizer, 'red circle')


def test_the_architecture_follows_the_tokenizer(tokenizer):
    config = tiny_llava_config(tokenizer, ['red', 'circle'])
    assert config.text_config.vocab_size == 8 and config.distinct_word_ids == [5, 7]
    assert config.image_token_index == 4 and config.text_config.pad_token_id == 3
    # 96 / 8 = 12 patches a side.
    assert config.image_seq_length == 144


def test_words_start_apart_from_each_other_and_of_one_length(tokenizer):
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(tiny_llava_config(tokenizer, ['red', 'blue', 'circle']))
    init_tiny_llava(model)
    heads = model.lm_head.weight[[5, 6, 7]]
    assert torch.allclose(heads @ heads.T, 0.36 * torch.eye(3), atol=1e-5)
    words = model.model.language_model.embed_tokens.weight[[5, 6, 7]]
    # Apart from each other but for what all words have in common.
    lengths = words.norm(dim=-1)
    assert torch.allclose(lengths, torch.full((3,), 3.0), atol=1e-4)
    common = words @ words.T / 9
    assert common[0, 1].item() == pytest.approx(common[1, 2].item(), abs=1e-5)
    # Visual tokens lean in a direction of their own.
    bias = model.model.multi_modal_projector.linear_2.bias
    assert bias.norm().item() == pytest.approx(3 * math.sqrt(common[0, 1].item()), abs=1e-3)
    assert torch.allclose(heads @ bias, torch.zeros(3), atol=1e-4)
