from dataclasses import replace

import pytest
import torch
from transformers import Gemma2Config, LlavaForConditionalGeneration, MistralConfig

from flmm.models.lmms import HFLMM
from flmm.models.lmms.attention import AttentionRule, active_observer
from flmm.models.lmms.generation import GenerationTrace
from flmm.utils.errors import CaptureError

NEW = 9


def every_third(ids, hidden):
    """Phrases of the tokens 0-1, 3-4, 6-7, ...; the rest is between them."""
    place = torch.arange(len(ids))
    return torch.where(place % 3 < 2, place // 3, -1)


def prompts_of(make_sample, processor, count=2):
    samples = [make_sample(seed=seed, shape=(30, 40 + 20 * seed)) for seed in range(count)]
    for i, sample in enumerate(samples):
        sample.prompt += ' what is there' * i
        sample.pieces, sample.phrases = [], []
    return [processor(sample) for sample in samples]


def endless(lmm):
    lmm.model.generation_config.eos_token_id = None
    return lmm.eval()


@pytest.fixture(scope='module')
def lmm(tiny_llava):
    return endless(HFLMM(str(tiny_llava), dtype='float32'))


def assert_features_are_those_of_reading(lmm, written, limit=1e-6):
    with torch.no_grad():
        read = lmm.phrase_features([text.inputs for text in written])
    for text, want in zip(written, read, strict=True):
        got = text.features
        assert got.phrase_indices == want.phrase_indices and got.grid is want.grid
        scale = 1 if limit == 1e-6 else want.attention.max()
        assert (got.attention - want.attention).abs().max() / scale <= limit
        assert got.attention.max() > 2 * got.attention.median()  # far from uniform
        for a, b in zip(got.hidden, want.hidden, strict=True):
            assert a.shape == b.shape
            assert (a - b).abs().max() / b.abs().max() <= (1e-5 if limit == 1e-6 else 5e-2)


@pytest.mark.parametrize('merge', ['mean', 'max'])
def test_features_of_writing_are_those_of_reading_the_text(lmm, make_sample, tiny_processor, merge):
    prompts = prompts_of(make_sample, tiny_processor)
    lmm.merge = merge
    try:
        written = lmm.generate_with_features(prompts, every_third, NEW)
        assert_features_are_those_of_reading(lmm, written)
    finally:
        lmm.merge = 'mean'
    for prompt, text, plain in zip(prompts, written, lmm.generate(prompts, NEW), strict=True):
        assert torch.equal(text.token_ids, plain) and len(plain) == NEW
        assert torch.equal(text.inputs.input_ids, torch.cat([prompt.input_ids, plain]))
        assert text.inputs.phrase_ids[-NEW:].tolist() == [0, 0, -1, 1, 1, -1, 2, 2, -1]
        assert text.features.attention.shape == (3, 12, 6, 6)


def text_config(kind, vocabulary):
    sizes = dict(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        pad_token_id=3,
        eos_token_id=2,
        bos_token_id=1,
    )
    if kind == 'gemma2':
        return Gemma2Config(**sizes, sliding_window=30, attn_logit_softcapping=3.0)
    return MistralConfig(**sizes, sliding_window={'short window': 30, 'window': 60}[kind])


# Prompts have 58 tokens, the image stands at 4..39: a window of 30 hides some or all cells, one
# of 60 begins to drop keys while the text is written.
@pytest.mark.parametrize('kind', ['short window', 'window', 'gemma2'])
def test_caches_that_drop_old_keys(
    tmp_path, tiny_llava, tiny_llava_config, make_sample, tiny_processor, kind
):
    config = type(tiny_llava_config).from_dict(tiny_llava_config.to_dict())
    config.text_config = text_config(kind, tiny_llava_config.text_config.vocab_size)
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.25)
    model.save_pretrained(tmp_path)
    lmm = endless(HFLMM(str(tmp_path), dtype='float32'))
    (prompt,) = prompts_of(make_sample, tiny_processor, 1)
    assert 50 < len(prompt.input_ids) < 60 < len(prompt.input_ids) + NEW
    written = lmm.generate_with_features([prompt], every_third, NEW)
    assert_features_are_those_of_reading(lmm, written)


@pytest.mark.parametrize('attention', ['sdpa', 'eager'])
def test_bf16_features_of_writing_are_those_of_reading(
    tiny_llava, make_sample, tiny_processor, attention
):
    lmm = endless(HFLMM(str(tiny_llava), dtype='bfloat16', attention=attention))
    prompts = prompts_of(make_sample, tiny_processor, 1)
    written = lmm.generate_with_features(prompts, every_third, NEW)
    assert_features_are_those_of_reading(lmm, written, limit=2e-2)


@pytest.mark.parametrize('limit', [1, 4, NEW + 3])
def test_the_last_token_has_features_whatever_ended_the_text(
    tiny_llava, make_sample, tiny_processor, limit
):
    lmm = endless(HFLMM(str(tiny_llava), dtype='float32'))
    prompts = prompts_of(make_sample, tiny_processor, 1)
    free = lmm.generate(prompts, NEW)[0].tolist()
    lmm.model.generation_config.eos_token_id = free[-1]
    end = min(free.index(free[-1]), limit)
    written = lmm.generate_with_features(
        prompts, lambda ids, hidden: torch.arange(len(ids)), max_new_tokens=limit
    )
    assert written[0].token_ids.tolist() == free[:end]
    assert written[0].features.phrase_indices == tuple(range(end))
    assert_features_are_those_of_reading(lmm, written)


def test_a_text_without_phrases_has_no_features(lmm, make_sample, tiny_processor):
    prompts = prompts_of(make_sample, tiny_processor, 1)
    (text,) = lmm.generate_with_features(prompts, lambda ids, hidden: 0 * ids - 1, 3)
    assert text.features is None and len(text.token_ids) == 3


def test_settings_of_the_model_do_not_make_it_sample_or_search(lmm, make_sample, tiny_processor):
    prompts = prompts_of(make_sample, tiny_processor, 1)
    want = lmm.generate(prompts, 4)[0]
    config = lmm.model.generation_config
    before = config.to_dict()
    config.update(do_sample=True, temperature=9.0, num_beams=3, cache_implementation='static')
    try:
        assert torch.equal(lmm.generate(prompts, 4)[0], want)
        written = lmm.generate_with_features(prompts, every_third, 4)
        assert torch.equal(written[0].token_ids, want) and config.num_beams == 3
        assert_features_are_those_of_reading(lmm, written)
    finally:
        config.update(**before)


def test_nothing_is_left_behind_and_a_prompt_without_image_is_refused(
    lmm, make_sample, tiny_processor
):
    (prompt,) = prompts_of(make_sample, tiny_processor, 1)
    with pytest.raises(ValueError, match='an image'):
        lmm.generate_with_features([replace(prompt, grids=())], every_third, 2)
    lmm.generate_with_features([prompt], every_third, 2)
    assert active_observer() is None
    assert not lmm.decoder().norm._forward_hooks
    assert not lmm.decoder().layers[0]._forward_hooks


def test_steps_of_several_tokens_and_cross_attention_are_refused():
    class Layer(torch.nn.Module):
        layer_idx = 1

    trace, layer, rule = GenerationTrace(), Layer(), AttentionRule(1.0)
    with pytest.raises(CaptureError, match='attend to 9 keys'):
        trace.observe(layer, torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 9, 8), rule)
    trace.observe(layer, torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8), rule)
    with pytest.raises(CaptureError, match='given 2 tokens in one step'):
        trace.observe(layer, torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 6, 8), rule)
