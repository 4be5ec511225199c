"""Where adapters find their places in models of transformers."""

import pytest
import torch
from torch import nn

from flmm.models.adapters import Adapters
from flmm.models.adapters.base import find_layers, language_part, vision_part
from flmm.utils.errors import FLMMError


def stack(name, count):
    holder = nn.Module()
    setattr(holder, name, nn.ModuleList(nn.Linear(1, 1) for _ in range(count)))
    return holder


def test_the_longest_stack_is_taken_unless_its_length_is_known():
    model = nn.Sequential(stack('layers', 2), stack('blocks', 5), stack('experts', 9))
    assert len(find_layers(model)) == 5
    assert find_layers(model, 2) is model[0].layers
    with pytest.raises(FLMMError, match=r'no stack of 7 layers.*\[2, 5\]'):
        find_layers(model, 7)
    with pytest.raises(FLMMError, match='found stacks of no layers'):
        find_layers(nn.Linear(1, 1))


def test_parts_of_a_real_llava(tiny_llava):
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(tiny_llava)
    assert language_part(model) is model.model.language_model.layers
    tower = vision_part(model)
    assert len(tower) == model.config.vision_config.num_hidden_layers
    inside = set(model.model.vision_tower.modules())
    assert tower in inside
    with pytest.raises(FLMMError, match='no vision_tower'):
        vision_part(model.model.language_model)


class Doubling(Adapters):
    """Doubles what a linear layer gives."""

    def __init__(self):
        super().__init__()
        self._on = True

    def attach(self, model):
        model.register_forward_hook(lambda _m, _a, out: 2 * out if self._on else None)

    def merge(self):
        raise FLMMError('cannot')

    def weights(self):
        return {}

    @property
    def enabled(self):
        return self._on

    @enabled.setter
    def enabled(self, value):
        self._on = value


def test_adapters_can_be_switched_off_for_a_while():
    model, adapters = nn.Identity(), Doubling()
    adapters.attach(model)
    one = torch.ones(1)
    assert model(one) == 2
    with adapters.disabled():
        assert model(one) == 1
    assert model(one) == 2
    # Also after an error, and where they were off before.
    with pytest.raises(RuntimeError), adapters.disabled():
        raise RuntimeError
    assert model(one) == 2
    adapters.enabled = False
    with adapters.disabled():
        pass
    assert not adapters.enabled
