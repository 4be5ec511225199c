import pytest
import torch
from torch import nn

from flmm.models.part_weights import load_some
from flmm.utils.errors import CheckpointError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({'first': nn.Linear(2, 2), 'second': nn.Linear(2, 2)})


def test_what_is_there_is_taken_and_the_rest_stays(model, tmp_path):
    before = model['second'].weight.clone()
    weights = {
        'first.weight': torch.ones(2, 2),
        'first.bias': torch.zeros(2),
        'other': torch.ones(1),
    }
    torch.save({'state_dict': weights}, tmp_path / 'iter_5.pth')
    # As mmengine writes it: with the folder of another machine.
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_5.pth')
    filled = load_some(model, str(tmp_path), {'first.weight', 'second.weight'})
    assert filled == ['first.bias', 'first.weight']
    assert torch.equal(model['first'].weight, torch.ones(2, 2))
    assert torch.equal(model['second'].weight, before)


def test_a_file_of_something_else_is_refused(model, tmp_path):
    path = str(tmp_path / 'x.pth')
    torch.save({'state_dict': {'mask_head.weight': torch.ones(1)}}, path)
    with pytest.raises(CheckpointError, match=r'none of the weights that train here.*mask_head'):
        load_some(model, path, {'first.weight'})
    torch.save({'first.weight': torch.ones(3, 2)}, path)
    with pytest.raises(CheckpointError, match=r'expected the shape \(2, 2\), got \(3, 2\)'):
        load_some(model, path, {'first.weight'})
