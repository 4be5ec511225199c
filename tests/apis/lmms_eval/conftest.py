"""lmms-eval's base class: the real one where it is installed, else its shape.

The stand-in has the abstract methods and attributes of ``lmms_eval.api.model.lmms`` 0.7.3, so
that the adapter is exercised on machines without lmms-eval's sixty dependencies.
"""

import abc
import importlib
import sys
import types
from importlib import metadata

import numpy as np
import pytest

from flmm.apis.lmms_eval.export import question
from flmm.structures import GroundingSample, Phrase, TextPiece


class StandIn(abc.ABC):
    is_simple = True

    def __init__(self):
        self._rank, self._world_size = 0, 1
        self.cache_hook, self.task_dict = None, {}

    @abc.abstractmethod
    def loglikelihood(self, requests): ...

    @abc.abstractmethod
    def generate_until(self, requests): ...

    @abc.abstractmethod
    def generate_until_multi_round(self, requests): ...

    @property
    def rank(self):
        return self._rank

    @property
    def world_size(self):
        return self._world_size


@pytest.fixture
def adapter(monkeypatch):
    # Not find_spec: pytest puts the folder above on the path, and this one is called lmms_eval.
    if not any(metadata.packages_distributions().get('lmms_eval', ())):
        for name in ('lmms_eval', 'lmms_eval.api', 'lmms_eval.api.model'):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules['lmms_eval.api.model'].lmms = StandIn
    name = 'flmm.apis.lmms_eval.models.flmm'
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    return module


@pytest.fixture
def doc():
    """A question of the tasks: the sky (right half) and a cat (left half) of 4 x 8 pixels."""
    left = np.zeros((4, 8), bool)
    left[:, :4] = True
    sample = GroundingSample(
        'a', image_path='a.png', ori_shape=(4, 8),
        pieces=[TextPiece('the [sky]', 1), TextPiece('and'), TextPiece('a cat', 0)],
        phrases=[Phrase('a cat'), Phrase('sky', isthing=False)],
        gt_masks=np.stack([left, ~left]),
    )  # fmt: skip
    return question(sample)
