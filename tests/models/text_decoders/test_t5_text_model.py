import pytest
import torch

from flmm.models.text_decoders import T5TextModel
from flmm.registry import MODELS

SIZES = dict(
    vocab_size=20,
    d_model=16,
    d_kv=8,
    d_ff=32,
    num_layers=2,
    num_decoder_layers=2,
    num_heads=2,
    feed_forward_proj='gated-gelu',
    tie_word_embeddings=False,
    dropout_rate=0.0,
)


def build(**options):
    torch.manual_seed(0)
    model = T5TextModel(config=SIZES, visual_channels=6, max_length=8, **options)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.3)
    return model.eval()


@pytest.fixture
def visual():
    return torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))


TOKENS = torch.tensor([[0, 5, 6, 1], [0, 7, 1, 0]])


def test_it_reads_as_transformers_does(visual):
    model = build(lora_rank=0)
    logits, hidden = model(TOKENS, visual)
    read = model.visual_projection(visual)
    want = model.t5(inputs_embeds=read, decoder_input_ids=TOKENS, output_hidden_states=True)
    assert torch.allclose(logits, want.logits, atol=1e-5)
    assert torch.allclose(hidden, want.decoder_hidden_states[-1], atol=1e-5)


def test_nobody_looks_ahead_and_padding_of_the_context_is_not_seen(visual):
    model = build()
    first = model(TOKENS, visual)[0]
    changed = TOKENS.clone()
    changed[:, 2:] = 9
    assert torch.allclose(model(changed, visual)[0][:, :2], first[:, :2], atol=1e-5)
    said = torch.tensor([[4, 5], [4, 5]])
    padded = torch.tensor([[4, 5, 0, 0], [4, 5, 0, 0]])
    with_context = model(TOKENS, visual, said)[0]
    assert torch.allclose(model(TOKENS, visual, padded)[0], with_context, atol=1e-5)
    assert not torch.allclose(with_context, first, atol=1e-3)


def test_only_lora_and_the_projection_train(visual):
    model = build(lora_rank=2)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all('lora_' in n or n.startswith('visual_projection') for n in trained)
    # q and v of self-attention, and of the decoder's cross-attention: 2 + 4 per pair of layers.
    assert sum('lora_A' in name for name in trained) == 2 * 2 + 2 * 4
    assert all('.q.' in name or '.v.' in name for name in trained if 'lora_' in name)
    layer = model.t5.encoder.block[0].layer[0].SelfAttention.q
    assert layer.scaling['default'] == 2.0
    model.train()
    model(TOKENS, visual)[0].sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_without_a_frozen_body_everything_trains():
    model = build(lora_rank=2, frozen=False)
    assert all(p.requires_grad for p in model.parameters())


def test_generation_is_the_greedy_choice_and_stops(visual):
    model = build()
    tokens, logp = model.generate(visual)
    assert tokens.shape[1] <= 8 and (tokens[:, 0] == 0).all() and (logp <= 0).all()
    for index, row in enumerate(tokens):
        length = int((row == 1).nonzero()[0, 0]) if (row == 1).any() else len(row) - 1
        logits = model(row[None, :length], visual[index : index + 1])[0]
        assert logits.argmax(-1)[0].tolist() == row[1 : length + 1].tolist()
        assert (row[length + 1 :] == 0).all()
        log_probs = logits[0].log_softmax(-1).max(-1).values
        assert torch.allclose(logp[index], log_probs.mean(), atol=1e-4)
    assert model.generate(visual, max_length=3)[0].shape[1] <= 3


def test_mistakes_are_told(visual):
    model = build()
    with pytest.raises(ValueError, match='at most 8'):
        model(torch.zeros(1, 9, dtype=torch.long), visual[:1])
    with pytest.raises(ValueError, match='at most 8'):
        model(TOKENS, visual, torch.ones(2, 9, dtype=torch.long))
    with pytest.raises(ValueError, match='either'):
        T5TextModel()
    assert MODELS.get('T5TextModel') is T5TextModel
