import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from flmm.models.adapters import TokenRows
from flmm.utils.errors import FLMMError


def make(tied=False):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=10,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).requires_grad_(False).eval()


IDS = torch.tensor([[1, 10, 3, 12]])


@pytest.mark.parametrize('tied', [False, True])
def test_new_rows_start_as_the_mean_and_are_all_that_trains(tied):
    model = make(tied)
    mean = model.get_input_embeddings().weight.mean(dim=0)
    rows = TokenRows(count=3, vocab_size=13)
    rows.attach(model)
    assert torch.allclose(rows.input, mean.expand(3, -1), atol=1e-6)
    logits = model(IDS).logits
    assert logits.shape[-1] == 13
    logits[..., 11].sum().backward()
    # The head's row of token 11, the inputs' rows of tokens 10 and 12.
    assert rows.output.grad.abs().sum(dim=1).bool().tolist() == [False, True, False]
    assert rows.input.grad.abs().sum(dim=1).bool().tolist() == [True, False, True]
    assert all(p.grad is None for p in model.parameters())


def test_merged_rows_compute_the_same():
    model = make()
    rows = TokenRows(count=3, vocab_size=13)
    rows.attach(model)
    torch.nn.init.normal_(rows.input)
    torch.nn.init.normal_(rows.output)
    with torch.no_grad():
        wanted = model(IDS).logits
        rows.merge()
        assert torch.allclose(model(IDS).logits, wanted, atol=1e-6)


def test_old_tokens_are_untouched_by_new_rows():
    model = make()
    with torch.no_grad():
        before = model(torch.tensor([[1, 2, 3]])).logits
        rows = TokenRows(count=3, vocab_size=13)
        rows.attach(model)
        torch.nn.init.normal_(rows.output)
        after = model(torch.tensor([[1, 2, 3]])).logits
    # Processors may sum a wider product in another order.
    assert torch.allclose(after[..., :10], before, atol=1e-7)


def test_a_vocabulary_that_is_too_small_is_an_error():
    with pytest.raises(FLMMError, match='more than vocab_size=9'):
        TokenRows(count=3, vocab_size=9).attach(make())
    with pytest.raises(ValueError, match='at least one'):
        TokenRows(count=0)


class Words:
    """Tokenizes words that are numbers as themselves."""

    def __call__(self, texts, add_special_tokens):
        assert not add_special_tokens
        return {'input_ids': [[int(word) for word in text.split()] for text in texts]}


def test_words_that_the_model_never_read_train_from_where_they_are():
    model = make()
    before = model.lm_head.weight[[2, 5]].clone()
    rows = TokenRows(count=3, vocab_size='append', texts=['5 2', '2 12'])
    rows.attach(model, Words())
    # Token 12 is a new one already.
    assert rows.ids.tolist() == [10, 11, 12, 2, 5]
    assert torch.equal(rows.output[3:], before)
    with torch.no_grad():
        rows.output[3].zero_()
        rows.input[4].zero_()
        logits = model(torch.tensor([[1, 5]])).logits
    assert logits.shape[-1] == 13 and torch.all(logits[..., 2] == 0)
    assert torch.all(model.get_input_embeddings()(torch.tensor([5])) == 0)
    rows.merge()
    assert torch.all(model.lm_head.weight[2] == 0)
    with pytest.raises(FLMMError, match='tokenizer'):
        TokenRows(count=3, vocab_size='append', texts=['5']).attach(make())
