"""LLaVA's first release: LLaVA-1.5 with one linear layer as projector, saved and loaded as such."""

import torch
from transformers import AutoModelForImageTextToText

from flmm.models.lmms.llava_v0 import LlavaV0Config, LlavaV0ForConditionalGeneration


def test_it_is_saved_and_found_again_by_its_own_name(tiny_llava_config, tmp_path):
    torch.manual_seed(0)
    fields = {k: v for k, v in tiny_llava_config.to_dict().items() if k != 'model_type'}
    model = LlavaV0ForConditionalGeneration(LlavaV0Config(**fields)).eval()
    weights = model.model.multi_modal_projector.state_dict()
    vision = tiny_llava_config.vision_config.hidden_size
    text = tiny_llava_config.text_config.hidden_size
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    assert shapes == {'linear_1.weight': (text, vision), 'linear_1.bias': (text,)}
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(again) is LlavaV0ForConditionalGeneration
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_projector_is_linear(tiny_llava_config):
    torch.manual_seed(0)
    fields = {k: v for k, v in tiny_llava_config.to_dict().items() if k != 'model_type'}
    projector = LlavaV0ForConditionalGeneration(LlavaV0Config(**fields)).model.multi_modal_projector
    x = torch.randn(2, 3, tiny_llava_config.vision_config.hidden_size)
    with torch.no_grad():
        zero = projector(torch.zeros_like(x))
        assert torch.allclose(projector(2 * x) - zero, 2 * (projector(x) - zero), atol=1e-5)
