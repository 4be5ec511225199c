import pytest
import torch
from torch import nn

from flmm.models.adapters import ImageTokens, ReleasedLoRA
from flmm.models.adapters.four_bit import quantise_linears
from flmm.models.lmms.collavo import CoLLaVOForConditionalGeneration
from flmm.utils.errors import FLMMError


@pytest.fixture
def model(tiny_collavo_config):
    torch.manual_seed(0)
    text = dict(vocab_size=20, max_position_embeddings=32, lora_dropout=0.5)
    config = tiny_collavo_config(text, image_size=16, num_classes=3, max_instances=2)
    built = CoLLaVOForConditionalGeneration(config).to(torch.bfloat16)
    return built.requires_grad_(False).eval()


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_each_group_is_switched_alone_and_kept_in_float32(model):
    lora = ReleasedLoRA()
    lora.attach(model)
    lora.image.requires_grad_(True)
    assert trained(model) and all('Plora_A' in n or 'Plora_B' in n for n in trained(model))
    lora.image.requires_grad_(False)
    lora.crayon.requires_grad_(True)
    assert all('Plora_seg' in name or '.crayon.' in name for name in trained(model))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert not list(lora.parameters())  # the model's own, under one name


def test_a_base_of_4_bits_learns_through_them(model):
    names = quantise_linears(model.model.language_model)
    assert names and all(name.endswith('Plora_main') for name in names)
    lora = ReleasedLoRA()
    lora.attach(model)
    lora.image.requires_grad_(True)
    lora.crayon.requires_grad_(True)
    ids = torch.tensor([[1, 20, 20, 20, 20, 5, 6]])
    cells = torch.tensor([[1, 1, 2, 0]])
    pixels = torch.randn(1, 3, 16, 16, dtype=torch.bfloat16)
    with lora.active(None):
        logits = model(
            ids, pixels, crayon_classes=cells, crayon_instances=cells.clamp(max=1)
        ).logits
    logits.float().square().sum().backward()
    ups = [p.grad for n, p in model.named_parameters() if n.endswith('wqkv.Plora_seg_B.weight')]
    assert len(ups) == 2 and all(grad.abs().sum() > 0 for grad in ups)


def test_its_dropout_follows_its_own_mode(model):
    lora = ReleasedLoRA()
    lora.attach(model)
    layer = model.model.language_model.layers[0].attention.wqkv
    lora.train()
    assert layer.dropout.training and not layer.training
    lora.eval()
    assert not layer.dropout.training


def test_what_it_cannot_do_is_said(model):
    lora = ReleasedLoRA()
    with pytest.raises(FLMMError, match='use DualLoRA'):
        lora.attach(nn.Linear(2, 2))
    lora.attach(model)
    assert lora.enabled and set(lora.weights()) >= {'image.0', 'crayon.0'}
    with pytest.raises(FLMMError, match='stay on'):
        lora.enabled = False
    with pytest.raises(FLMMError, match='no matrix'):
        lora.merge()
    with lora.active(ImageTokens(torch.ones(1, 1, dtype=torch.bool))):
        pass
