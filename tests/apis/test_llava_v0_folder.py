"""GPT4RoI's parts become a folder that flmm loads, every weight in its place."""

import json
import sys
from pathlib import Path

import pytest
import torch

from flmm.apis.golden.recipe import torch_params
from flmm.apis.llava_v0_folder import TOKENS as ORDER
from flmm.apis.llava_v0_folder import assemble_llava_v0, write_llava_v0
from flmm.models.lmms import HFLMM, ConversationProcessor, LMMProcessor, SquashImageProcessor
from flmm.utils.errors import CheckpointError

sys.path.insert(0, str(Path(__file__).parents[1] / 'models' / 'lmms'))

from tiny_sentencepiece import VOCAB_SIZE, write_sentencepiece_tokenizer  # noqa: E402

TOKENS = {
    token: VOCAB_SIZE + i
    for i, token in enumerate(('<im_patch>', '<bbox>', '<point>', '<im_start>', '<im_end>'))
}
LLAMA = dict(
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=1,
    num_attention_heads=2,
    vocab_size=VOCAB_SIZE + len(TOKENS),
    max_position_embeddings=256,
    rms_norm_eps=1e-6,
    bos_token_id=1,
    eos_token_id=2,
)
CLIP = dict(
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=16,
    patch_size=8,
)


def official_weights():
    """Random weights under the release's names, in the shapes of these sizes."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

    llama = LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=False)).state_dict()
    shapes = {name: list(value.shape) for name, value in llama.items()}
    shapes |= {'model.mm_projector.weight': [16, 16], 'model.mm_projector.bias': [16]}
    shapes['model.spi_module.roi_align.updims.bias'] = [16]
    tower = CLIPVisionModel(CLIPVisionConfig(**CLIP)).state_dict()
    clip = {
        f'vision_model.{name.removeprefix("vision_model.")}': list(value.shape)
        for name, value in tower.items()
        if value.is_floating_point()
    }
    return torch_params(3, shapes), torch_params(4, clip)


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp('release')
    own, tower = official_weights()
    write_sentencepiece_tokenizer(root / 'model', special={})
    (root / 'clip').mkdir()
    for name, weights, config in (
        ('model', own, LLAMA | {'mm_vision_select_layer': -2}),
        ('clip', tower, {'vision_config': CLIP}),
    ):
        torch.save(weights, root / name / 'pytorch_model.bin')
        (root / name / 'config.json').write_text(json.dumps(config))
    (root / 'model' / 'added_tokens.json').write_text(json.dumps(TOKENS))
    return root, own, tower


def test_the_folder_loads_with_every_weight_in_its_place(parts, tmp_path):
    root, own, tower = parts
    counts = write_llava_v0(root / 'model', root / 'clip', tmp_path)
    assert counts == (len(own) - 1 + len(tower), 1)
    lmm = HFLMM(str(tmp_path), dtype='float32')
    state = lmm.model.state_dict()
    assert torch.equal(state['lm_head.weight'], own['lm_head.weight'])
    layer = 'layers.0.self_attn.q_proj.weight'
    assert torch.equal(state[f'model.language_model.{layer}'], own[f'model.{layer}'])
    projector = state['model.multi_modal_projector.linear_1.weight']
    assert torch.equal(projector, own['model.mm_projector.weight'])
    name = 'encoder.layers.1.mlp.fc1.weight'
    ours = next(value for key, value in state.items() if key.endswith(f'vision_tower.{name}'))
    assert torch.equal(ours, tower[f'vision_model.{name}'])
    assert lmm.model.config.vision_config.hidden_act == 'quick_gelu'


def test_its_tokenizer_keeps_the_recorded_ids(parts, tmp_path):
    root, _, _ = parts
    write_llava_v0(root / 'model', root / 'clip', tmp_path)
    base = LMMProcessor(str(tmp_path), SquashImageProcessor(16, 8), image_token='<im_patch>')
    processor = ConversationProcessor(
        base, 'vicuna_v0', '<bbox>', image_format='<im_start>{image}<im_end>'
    )
    for token, number in TOKENS.items():
        assert processor.tokenizer.convert_tokens_to_ids(token) == number
    assert processor.region_token_id == TOKENS['<bbox>']


def test_a_folder_without_its_tokens_is_refused(parts, tmp_path):
    root, _, _ = parts
    broken = tmp_path / 'broken'
    broken.mkdir()
    for path in (root / 'model').iterdir():
        if path.is_file() and path.name != 'tokenizer.model':
            (broken / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=r'tokenizer\.model'):
        write_llava_v0(broken, root / 'clip', tmp_path / 'out')
    (broken / 'added_tokens.json').write_text(json.dumps({**TOKENS, '<bbox>': 9999}))
    (broken / 'tokenizer.model').write_bytes((root / 'model' / 'tokenizer.model').read_bytes())
    with pytest.raises(CheckpointError, match='gives <point> the id 342'):
        write_llava_v0(broken, root / 'clip', tmp_path / 'out')


def vicuna(parts, folder, rows=VOCAB_SIZE, added=None):
    """The parts without what GPT4RoI added to them; a vocabulary of some rows."""
    root, own, _ = parts
    folder.mkdir()
    weights = {
        name: value[:rows] if name in ('model.embed_tokens.weight', 'lm_head.weight') else value
        for name, value in own.items()
        if 'spi_module' not in name and 'mm_projector' not in name
    }
    torch.save(weights, folder / 'pytorch_model.bin')
    (folder / 'config.json').write_text(json.dumps(LLAMA | {'vocab_size': rows}))
    (folder / 'tokenizer.model').write_bytes((root / 'model/tokenizer.model').read_bytes())
    if added:
        (folder / 'added_tokens.json').write_text(json.dumps(added))
    return weights


def projector(path, rows=2, prefix='model.'):
    torch.manual_seed(7)
    weights = {'mm_projector.weight': torch.randn(16, 16), 'mm_projector.bias': torch.randn(16)}
    if rows:
        weights['embed_tokens.weight'] = torch.randn(rows, 16)
    torch.save({prefix + name: value for name, value in weights.items()}, path)
    return weights


def test_what_stage_1_starts_from_is_assembled(parts, tmp_path):
    root, own, tower = parts
    language = vicuna(parts, tmp_path / 'vicuna')
    extra = projector(tmp_path / 'p.bin', rows=VOCAB_SIZE + 4)
    count = assemble_llava_v0(
        tmp_path / 'vicuna', tmp_path / 'p.bin', root / 'clip', tmp_path / 'out'
    )
    assert count == len(language) + 2 + len(tower)
    lmm = HFLMM(str(tmp_path / 'out'), dtype='float32')
    state = lmm.model.state_dict()
    layer = 'layers.0.self_attn.q_proj.weight'
    assert torch.equal(state[f'model.language_model.{layer}'], own[f'model.{layer}'])
    linear = state['model.multi_modal_projector.linear_1.weight']
    assert torch.equal(linear, extra['mm_projector.weight'])
    words = state['model.language_model.embed_tokens.weight']
    assert words.shape == (VOCAB_SIZE + len(ORDER), 16)
    old = language['model.embed_tokens.weight']
    assert torch.equal(words[:VOCAB_SIZE], old)
    # Of PAD, im_patch, bbox and point nobody knows more than the mean word.
    assert torch.allclose(words[VOCAB_SIZE:-2], old.mean(0).expand(4, 16), atol=1e-6)
    assert torch.equal(words[-2:], extra['embed_tokens.weight'][-2:])
    head = language['lm_head.weight'].mean(0).expand(len(ORDER), 16)
    assert torch.allclose(state['lm_head.weight'][VOCAB_SIZE:], head, atol=1e-6)
    tokenizer = LMMProcessor(
        str(tmp_path / 'out'), SquashImageProcessor(16, 8), image_token='<im_patch>'
    ).tokenizer
    ids = tokenizer.convert_tokens_to_ids(list(ORDER))
    assert ids == list(range(VOCAB_SIZE, VOCAB_SIZE + len(ORDER)))
    assert lmm.model.config.image_token_index == VOCAB_SIZE + 1


def test_a_token_that_vicuna_has_keeps_its_row_and_rounded_up_rows_stay(parts, tmp_path):
    root, _, _ = parts
    rows = VOCAB_SIZE + 1
    language = vicuna(parts, tmp_path / 'v', rows, {'[PAD]': VOCAB_SIZE})
    torch.save(
        {
            name: torch.cat([value, torch.full((9, 16), 5.0)]) if len(value) == rows else value
            for name, value in language.items()
        },
        tmp_path / 'v/pytorch_model.bin',
    )
    projector(tmp_path / 'p.bin', rows=0, prefix='')
    assemble_llava_v0(tmp_path / 'v', tmp_path / 'p.bin', root / 'clip', tmp_path / 'out')
    lmm = HFLMM(str(tmp_path / 'out'), dtype='float32')
    words = lmm.model.state_dict()['model.language_model.embed_tokens.weight']
    assert len(words) == rows + 9
    assert torch.equal(words[VOCAB_SIZE], language['model.embed_tokens.weight'][VOCAB_SIZE])
    # Without rows of the projector's file all five new tokens are the mean.
    mean = language['model.embed_tokens.weight'].mean(0)
    assert torch.allclose(words[rows : rows + 5], mean.expand(5, 16), atol=1e-6)
    assert torch.equal(words[rows + 5 :], torch.full((4, 16), 5.0))


def test_parts_that_do_not_fit_are_refused_before_anything_is_written(parts, tmp_path):
    root, _, _ = parts
    vicuna(parts, tmp_path / 'v')
    out = tmp_path / 'out'
    for weights, message in (
        ({'model.mm_projector.weight': torch.zeros(16, 8)}, 'expected'),
        ([1], 'by name'),
        (
            {
                'mm_projector.weight': torch.zeros(16, 16),
                'mm_projector.bias': torch.zeros(16),
                'embed_tokens.weight': torch.zeros(1, 16),
            },
            r'shape \(1, 16\)',
        ),
    ):
        torch.save(weights, tmp_path / 'p.bin')
        with pytest.raises(CheckpointError, match=message):
            assemble_llava_v0(tmp_path / 'v', tmp_path / 'p.bin', root / 'clip', out)
    for model, message in ((root / 'model', 'to-flmm'), (root / 'clip', 'Is it a Vicuna')):
        with pytest.raises(CheckpointError, match=message):
            assemble_llava_v0(model, tmp_path / 'p.bin', root / 'clip', out)
    assert not out.exists()
