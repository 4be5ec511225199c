import pytest
import torch
from PIL import Image

from flmm.models.adapters.adapted import adapted_lmm
from flmm.models.adapters.lora import LoRAAdapters
from flmm.models.image_encoders import LMMImageEncoder
from flmm.models.lmms import HFLMM
from flmm.models.lmms.image_processors import PadToSquareImageProcessor
from flmm.models.lmms.processor import LMMProcessor
from flmm.models.point_heads import attention_places
from flmm.models.text_decoders import LMMTextDecoder
from flmm.structures import GroundingSample, TextPiece
from flmm.utils.images import image_to_tensor

SIDE = 48


@pytest.fixture(scope='module')
def lmm(tiny_llava):
    return dict(type='HFLMM', pretrained=str(tiny_llava), dtype='float32')


def build(lmm, tokenizer, **options):
    torch.manual_seed(0)
    options = dict(layers=(0, 1, 2), attention=True, pad_id=3, max_length=12) | options
    return LMMTextDecoder(lmm, tokenizer, visual_channels=8, **options).eval()


@pytest.fixture(scope='module')
def decoder(lmm, tiny_tokenizer):
    return build(lmm, tiny_tokenizer)


@pytest.fixture
def cells():
    torch.manual_seed(1)
    return torch.randn(2, 6, 6, 32)


@torch.no_grad()
def test_it_reads_what_the_lmm_reads(lmm, decoder, tiny_tokenizer):
    torch.manual_seed(0)
    image = Image.fromarray((torch.rand(SIDE, SIDE, 3) * 255).byte().numpy())
    pieces = [TextPiece('a red', 0), TextPiece(' c', 1), TextPiece(' x')]
    sample = GroundingSample('s', image=image, ori_shape=(SIDE, SIDE), pieces=pieces)
    sample.prompt, sample.joint_tokens = '<image>\nWhat is it?', True
    grids = PadToSquareImageProcessor(size=SIDE, patch_size=8)
    inputs = LMMProcessor(tiny_tokenizer, grids)(sample)
    whole = HFLMM(lmm['pretrained'], dtype='float32').eval()
    (feature,) = whole.phrase_features([inputs])

    encoder = LMMImageEncoder(lmm).eval()
    grid = encoder(image_to_tensor(image)[None].float())
    assert grid.shape == (1, 6, 6, 32)
    words = tiny_tokenizer('a red c x', add_special_tokens=False)['input_ids']
    context = tiny_tokenizer('\nWhat is it?', add_special_tokens=False)['input_ids']
    logits, states = decoder(
        torch.tensor([[1, *words]]), torch.zeros(1, 0, 8), torch.tensor([context]), grid
    )
    (at,) = (inputs.phrase_ids == 1).nonzero().flatten().tolist()
    place = at - len(inputs.input_ids)
    hidden = torch.nn.functional.layer_norm(feature.hidden[1][0], (32,)).flatten()
    assert torch.allclose(states[0, place, :96], hidden, atol=1e-4)
    where = attention_places(feature.attention[1:], feature.grid, (SIDE, SIDE), spread=True)
    assert torch.allclose(states[0, place, 96:], where[0], atol=1e-4)
    expected = whole.model.lm_head(feature.hidden[1][0, -1])
    assert torch.allclose(logits[0, place], expected, atol=1e-3)


@torch.no_grad()
def test_captions_of_one_image_share_its_cells(decoder, cells):
    tokens = torch.tensor([[1, 20, 21, 22], [1, 30, 31, 2], [1, 40, 2, 3], [1, 50, 51, 52]])
    visual = torch.randn(4, 3, 8)
    context = torch.tensor([[60, 61], [62, 3], [3, 3], [63, 64]])
    together = decoder(tokens, visual, context, cells)
    for row in range(4):
        part = slice(row, row + 1)
        image = cells[row // 2][None]
        known = context[part][:, : int((context[row] != 3).sum())]
        alone = decoder(tokens[part], visual[part], known, image)
        for got, want in zip(together, alone, strict=True):
            assert torch.allclose(got[part], want, atol=1e-4)
    other = decoder(tokens, visual, context, cells.flip(0))[0]
    assert not torch.allclose(other, together[0], atol=1e-2)


@torch.no_grad()
def test_words_see_their_past_only(decoder, cells):
    tokens, visual = torch.tensor([[1, 20, 21, 22]] * 2), torch.randn(2, 1, 8)
    states = decoder(tokens, visual, None, cells)[1]
    tokens[:, 2] = 30
    changed = (decoder(tokens, visual, None, cells)[1] - states).abs().amax(-1)[0] > 1e-4
    assert changed.tolist() == [False, False, True, True]
    visual[0] += 1
    assert ((decoder(tokens, visual, None, cells)[1] - states)[0].abs().amax(-1) > 1e-4).all()


def test_generation_is_the_argmax_of_reading_what_was_written(decoder, cells):
    visual, context = torch.randn(4, 2, 8), torch.tensor([[60, 3], [61, 62], [3, 3], [63, 64]])
    tokens, logp = decoder.generate(visual, context, cells=cells)
    assert tokens[:, 0].tolist() == [1] * 4 and tokens.shape[1] <= 12 and (logp < 0).all()
    best = decoder(tokens, visual, context, cells)[0].argmax(-1)
    for row, choice in zip(tokens, best, strict=True):
        end = (row == 2).nonzero()
        length = int(end[0]) + 1 if len(end) else len(row)
        assert row[1:length].tolist() == choice[: length - 1].tolist()
        assert (row[length:] == 3).all()
    assert decoder.generate(visual, context, 5, cells)[0].equal(tokens[:, :5])


@pytest.mark.parametrize('learn_cells', [True, False])
def test_where_words_look_learns_too(lmm, tiny_tokenizer, cells, learn_cells):
    decoder = build(lmm, tiny_tokenizer, learn_cells=learn_cells)
    cells.requires_grad_()
    visual = torch.randn(2, 1, 8, requires_grad=True)
    _, states = decoder(torch.tensor([[1, 20]] * 2), visual, None, cells)
    assert states.shape == (2, 2, decoder.channels) and decoder.channels == 3 * 32 + 12 * 8
    states[..., 96:].sum().backward()
    first = decoder.decoder.layers[0].self_attn
    assert first.q_proj.weight.grad.abs().sum() > 0 and visual.grad.abs().sum() > 0
    assert (cells.grad is not None) is learn_cells


def test_every_weight_has_one_name(decoder):
    names = [id(p) for _, p in decoder.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names))


def test_adapters_train_alone(lmm, tiny_tokenizer, cells):
    lora = dict(type=LoRAAdapters, rank=2)
    adapted = dict(type=adapted_lmm, lmm=lmm, adapters=[lora])
    decoder = build(adapted, tiny_tokenizer, layers=(-1,), attention=False)
    assert decoder.channels == 32
    trained = {name for name, p in decoder.named_parameters() if p.requires_grad}
    assert {name for name in trained if 'lora_' not in name} == {
        f'place_projection.{name}'
        for name in ('linear.weight', 'linear.bias', 'norm.weight', 'norm.bias')
    }
    logits, _ = decoder(torch.tensor([[1, 20]] * 2), torch.randn(2, 1, 8), None, cells)
    logits.sum().backward()
    assert all(p.grad is not None for p in decoder.parameters() if p.requires_grad)


def test_mistakes_are_named(decoder, lmm, tiny_tokenizer, cells):
    with pytest.raises(ValueError, match='at most 12 tokens, got 13'):
        decoder(torch.ones(1, 13, dtype=torch.long), torch.randn(1, 2, 8), None, cells[:1])
    for options in (dict(maps=False), dict(attention=False, maps=True)):
        with pytest.raises(ValueError, match='got none. .* cells_encoder'):
            build(lmm, tiny_tokenizer, **options)(torch.ones(1, 2).long(), torch.randn(1, 2, 8))
    with pytest.raises(ValueError, match="'<picture>' as one token"):
        build(lmm, tiny_tokenizer, image_token='<picture>')


@torch.no_grad()
def test_maps_are_the_attention_whose_places_it_gives(lmm, tiny_tokenizer, cells):
    decoder = build(lmm, tiny_tokenizer, layers=(-1,), maps=True)
    tokens = torch.tensor([[1, 20, 21, 2]] * 2)
    _, states, maps = decoder(tokens, torch.randn(2, 3, 8), None, cells)
    count = maps.shape[2]
    assert maps.shape == (2, 4, count, 6, 6) and states.shape[-1] == 32 + 8 * count
    assert (maps >= 0).all() and (maps.sum((-2, -1)) < 1).all()
    # The first numbers of each are the centre of mass, from -1 to 1.
    middles = (torch.arange(6) + 0.5) / 3 - 1
    weight = maps / maps.sum((-2, -1), keepdim=True)
    centre = torch.stack([weight.sum(-2) @ middles, weight.sum(-1) @ middles], dim=-1)
    torch.testing.assert_close(states[..., 32 : 32 + 2 * count], centre.flatten(2))
