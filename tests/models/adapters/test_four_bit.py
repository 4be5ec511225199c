import pytest
import torch
from torch import nn

from flmm.models.adapters.four_bit import quantise_linears
from flmm.utils.errors import FLMMError


def frozen(*sizes, dtype=torch.float32):
    torch.manual_seed(0)
    layers = [nn.Linear(a, b, dtype=dtype) for a, b in zip(sizes, sizes[1:], strict=False)]
    return nn.Sequential(*layers).requires_grad_(False)


def test_layers_take_half_a_byte_per_weight_and_compute_almost_the_same():
    model = frozen(256, 512, 256)
    x = torch.randn(4, 256)
    before = model(x)
    assert quantise_linears(model) == ['0', '1']
    after = model(x)
    assert model[0].weight.nbytes == 256 * 512 // 2
    # NF4 with blocks of 64: some percent off for bell-shaped weights.
    assert (after - before).norm() / before.norm() < 0.15
    assert after.dtype == torch.float32


def test_gradients_flow_through_to_what_is_before():
    model = frozen(64, 64)
    quantise_linears(model)
    x = torch.randn(2, 64, requires_grad=True)
    model(x).square().sum().backward()
    assert x.grad.abs().sum() > 0 and model[0].weight.grad is None


def test_what_cannot_be_quantised_is_named():
    with pytest.raises(FLMMError, match='0 is trainable'):
        quantise_linears(frozen(64, 64).requires_grad_(True))
    with pytest.raises(FLMMError, match='no linear layer.*multiple of 64'):
        quantise_linears(frozen(5, 7))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_blocks_may_run_over_the_ends_of_rows(dtype):
    model = frozen(160, 432, 160, dtype=dtype)
    with torch.no_grad():
        # Rows of very different sizes: a scale of another row is plainly wrong.
        model[0].weight *= torch.linspace(0.1, 4, 432, dtype=dtype)[:, None]
    x = torch.randn(3, 160, dtype=dtype)
    before = model(x)
    assert quantise_linears(model) == ['0', '1']
    with torch.no_grad():
        alone = model(x)
    learning = model(x.clone().requires_grad_(True))
    # As for rows of whole blocks, some percent.
    assert (alone - before).norm() / before.norm() < 0.15
    assert torch.equal(alone, learning)


def test_ragged_rows_are_restored_scale_by_scale():
    layer = frozen(160, 6)
    weight = layer[0].weight.clone()
    quantise_linears(layer)
    whole = layer[0].whole(torch.float32)
    # In each run of 64 the largest weight is kept (scales have 8 bits), others move by at most
    # half of the widest gap between two levels of NF4 (0.304).
    runs, kept = weight.view(-1, 64), whole.view(-1, 64)
    largest = runs.abs().amax(dim=1, keepdim=True)
    assert ((kept - runs).abs() / largest).max() < 0.153 + 0.02
    torch.testing.assert_close(kept.abs().amax(dim=1, keepdim=True), largest, rtol=0.02, atol=0)


def test_gradients_of_ragged_layers_are_those_of_the_restored_weight():
    model = frozen(160, 4)
    quantise_linears(model)
    x = torch.randn(2, 3, 160, requires_grad=True)
    grad = torch.randn(2, 3, 4)
    model(x).backward(grad)
    torch.testing.assert_close(x.grad, grad @ model[0].whole(torch.float32))
    assert model[0].weight.grad is None


def test_using_the_weights_does_not_change_a_bit_of_them():
    model = frozen(128, 128, dtype=torch.bfloat16).eval()
    quantise_linears(model)
    stored = model[0].weight.data.clone()
    with torch.no_grad():
        model(torch.randn(2, 128, dtype=torch.bfloat16))
    assert torch.equal(model[0].weight.data, stored)
    x = torch.randn(2, 128, dtype=torch.bfloat16, requires_grad=True)
    model(x).float().square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_layers_that_do_not_fit_and_loras_stay_as_they_are():
    model = frozen(64, 5, 64)
    assert quantise_linears(nn.Sequential(model, nn.Linear(5, 5, bias=False).requires_grad_(False)))
    holder = nn.ModuleDict({'Plora_main': frozen(64, 64)[0], 'Plora_A': frozen(64, 64)[0]})
    assert quantise_linears(holder) == ['Plora_main']
    assert type(holder['Plora_A']) is nn.Linear
