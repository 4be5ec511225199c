import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from flmm.models.adapters import LoRAAdapters
from flmm.utils.errors import FLMMError

IDS = torch.arange(7)[None]


@pytest.fixture
def llama():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return LlamaForCausalLM(config).requires_grad_(False).eval()


def test_lora_starts_as_the_identity_switches_off_and_merges(llama):
    before = llama(IDS).logits
    adapters = LoRAAdapters(rank=2)
    adapters.attach(llama)
    assert torch.allclose(llama(IDS).logits, before)
    trainable = [name for name, p in llama.named_parameters() if p.requires_grad]
    assert trainable and all('lora_' in name for name in trainable)
    assert len(adapters.weights()) == len(trainable)
    for parameter in llama.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)
    wanted = llama(IDS).logits
    assert not torch.allclose(wanted, before, atol=1e-3)
    with adapters.disabled():
        assert torch.allclose(llama(IDS).logits, before)
    adapters.merge()
    assert torch.allclose(llama(IDS).logits, wanted, atol=2e-5)
    assert not any('lora' in name for name in llama.state_dict())


def test_over_weights_of_half_precision_lora_trains_in_full(llama):
    adapters = LoRAAdapters(rank=2)
    adapters.attach(llama.bfloat16())
    assert {weight.dtype for weight in adapters.weights().values()} == {torch.float32}
    trained = [p for p in llama.parameters() if p.requires_grad]
    for parameter in trained:
        nn.init.normal_(parameter, std=0.2)
    before = [parameter.detach().clone() for parameter in trained]
    logits = llama(IDS).logits
    assert logits.dtype == torch.bfloat16
    logits.float().square().mean().backward()
    # Neighbours of 0.2 are 0.001 apart in bfloat16: there a step of 1e-5 is lost.
    torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0).step()
    moved = [(new != old).float().mean() for new, old in zip(trained, before, strict=True)]
    assert min(moved) > 0.9
    adapters.merge()
    assert {p.dtype for p in llama.parameters()} == {torch.bfloat16}


def test_a_model_without_such_layers_is_an_error(llama):
    with pytest.raises(FLMMError, match='nothing_like_this'):
        LoRAAdapters(targets=['nothing_like_this']).attach(llama)


def test_dropout_trains_in_a_model_that_is_in_eval_mode(llama):
    adapters = LoRAAdapters(rank=2, dropout=0.5)
    adapters.attach(llama)
    for parameter in llama.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    llama.eval()
    adapters.train()
    assert not torch.equal(llama(IDS).logits, llama(IDS).logits)
    adapters.eval()
    assert torch.equal(llama(IDS).logits, llama(IDS).logits)
