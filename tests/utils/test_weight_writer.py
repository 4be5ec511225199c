"""Safetensors files that are written tensor by tensor."""

import pytest
import torch
from safetensors.torch import load_file

from flmm.utils.weight_writer import LaterTensor, write_safetensors


def test_every_type_and_layout_reads_back_as_it_was(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    weights = {
        'turned': whole.T,
        'shared': whole[1:],
        'number': torch.tensor(3),
        'empty': torch.zeros(0, 5),
        'half': whole.bfloat16()[:, ::2],
        'flags': torch.tensor([True, False, True]),
        'later': LaterTensor((2,), torch.float16, lambda: torch.tensor([1.0, 2.0]).half()),
    }
    write_safetensors(tmp_path / 'new' / 'w.safetensors', weights)
    read = load_file(tmp_path / 'new' / 'w.safetensors')
    assert read.keys() == weights.keys()
    weights['later'] = weights['later'].make()
    for name, value in weights.items():
        assert read[name].dtype == value.dtype and torch.equal(read[name], value), name


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ({'a': LaterTensor((2,), torch.float32, lambda: torch.zeros(3))}, 'was to be'),
        ({'a': torch.zeros(2, dtype=torch.complex64)}, 'complex64'),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, weights, message):
    path = tmp_path / 'w.safetensors'
    write_safetensors(path, {'old': torch.zeros(1)})
    with pytest.raises(ValueError, match=message):
        write_safetensors(path, weights)
    assert set(load_file(path)) == {'old'} and list(tmp_path.iterdir()) == [path]
