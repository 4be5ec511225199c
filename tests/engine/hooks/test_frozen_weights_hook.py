from types import SimpleNamespace

import pytest
import torch
from torch import nn

from flmm.engine.hooks.frozen_weights_hook import FrozenWeightsHook, frozen_hashes
from flmm.utils.errors import FLMMError


class Log(list):
    def info(self, text):
        self.append(text)


@pytest.fixture
def runner():
    model = nn.Sequential(nn.Linear(2, 2, dtype=torch.bfloat16), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    return SimpleNamespace(model=model, logger=Log())


def test_training_the_rest_is_fine_and_the_hash_is_logged(runner):
    hook = FrozenWeightsHook()
    hook.before_train(runner)
    with torch.no_grad():
        runner.model[1].weight += 1
    hook.after_train(runner)
    before, after = runner.logger
    assert after.startswith('2 frozen weights bit-identical')
    assert before.split()[-1] == after.split()[-1]


def test_a_single_bit_that_changed_is_an_error(runner):
    hook = FrozenWeightsHook()
    hook.before_train(runner)
    with torch.no_grad():
        runner.model[0].bias.view(torch.int16)[1] ^= 1
    with pytest.raises(FLMMError, match=r'1 of 2 frozen weights changed in training: 0\.bias'):
        hook.after_train(runner)


def test_hashes_are_of_the_bytes():
    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    for module, value in ((one, 0.0), (other, -0.0)):
        module.requires_grad_(False)
        nn.init.constant_(module.weight, value)
    assert frozen_hashes(one)['weight'] != frozen_hashes(other)['weight']
