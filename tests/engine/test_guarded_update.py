"""What stands between a loss and the weights; whole steps and real processes: test_step_guard."""

import contextlib

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from flmm.engine import guarded_update
from flmm.engine.guarded_update import (
    FINE,
    NO_MEMORY,
    NONFINITE,
    GuardedUpdate,
    PartialUpdate,
    SplitRequested,
    agree,
    all_finite,
    average_gradients,
    is_finite,
)

NAN, INF = float('nan'), float('inf')


class Weight:
    """One weight, 1 at first, under plain descent with a rate of 1."""

    def __init__(self, kind=OptimWrapper, **options):
        self.parameter = nn.Parameter(torch.ones(1))
        self.wrapper = kind(torch.optim.SGD([self.parameter], lr=1.0), **options)

    def update(self, slope, kind=GuardedUpdate, *options):
        """An update by a loss with this slope."""
        update = kind(self.wrapper, *options)
        with update.optim_context(nn.Identity()):
            loss = (slope * self.parameter).sum()
        update.update_params(loss)
        return update

    @property
    def value(self):
        return self.parameter.item()


def test_a_fine_loss_makes_the_step():
    weight = Weight()
    update = weight.update(0.25)
    assert weight.value == 0.75 and weight.parameter.grad is None
    assert update.agreed and (update.verdict, update.stage) == (FINE, '')


@pytest.mark.parametrize('slope', [NAN, INF])
def test_a_loss_that_is_no_number_never_reaches_the_gradients(slope):
    weight = Weight()
    update = weight.update(slope)
    assert weight.value == 1 and weight.parameter.grad is None
    assert (update.verdict, update.stage) == (NONFINITE, 'loss')


def test_gradients_that_are_no_numbers_are_thrown_away_with_the_step():
    weight = Weight()
    update = GuardedUpdate(weight.wrapper)
    # sqrt at 0: the value is fine, its gradient is infinite.
    update.update_params((weight.parameter - 1).sqrt().sum())
    assert weight.value == 1 and weight.parameter.grad is None
    assert (update.verdict, update.stage) == (NONFINITE, 'gradients')


def test_where_a_scale_is_searched_for_infinity_is_no_fault():
    class Scaling(OptimWrapper):
        """Like mmengine's for fp16: its scaler leaves out steps by itself."""

        loss_scaler, steps = 'scaler', 0

        def step(self):
            self.steps += 1

    weight = Weight(Scaling)
    update = GuardedUpdate(weight.wrapper)
    update.update_params((weight.parameter - 1).sqrt().sum())
    assert update.verdict == FINE and weight.wrapper.steps == 1


def test_the_word_of_another_process_counts(monkeypatch):
    said = []

    def heard(verdict):
        def agree(own, device):
            said.append(own)
            return verdict

        monkeypatch.setattr(guarded_update, 'agree', agree)

    weight = Weight()
    heard(NO_MEMORY)
    with pytest.raises(SplitRequested):
        weight.update(0.25)
    heard(NONFINITE)
    update = weight.update(0.25)
    assert weight.value == 1 and (update.verdict, update.stage) == (NONFINITE, 'loss')
    weight.update(NAN)
    assert said == [FINE, FINE, NONFINITE]


def test_processes_agree_on_the_worst(monkeypatch):
    assert agree(NONFINITE, torch.device('cpu')) == NONFINITE

    def with_another(own, operation):
        assert operation == 'max'
        own.clamp_(min=NONFINITE)

    monkeypatch.setattr(guarded_update, 'get_world_size', lambda: 2)
    monkeypatch.setattr(guarded_update, 'all_reduce', with_another)
    verdicts = (FINE, NONFINITE, NO_MEMORY)
    assert [agree(own, torch.device('cpu')) for own in verdicts] == [1, 1, 2]


def test_processes_talk_where_the_weights_are():
    parameter = nn.Parameter(torch.ones(1, device='meta'))
    wrapper = OptimWrapper(torch.optim.SGD([parameter], lr=1))
    assert GuardedUpdate(wrapper).device.type == 'meta'


def test_parts_of_a_batch_are_weighed_and_the_last_one_makes_the_step():
    weight = Weight()
    weight.update(0.5, PartialUpdate, 0.75, False, False)
    assert weight.value == 1 and weight.wrapper._inner_count == 0
    weight.update(1.0, PartialUpdate, 0.25, True, False)
    # 0.75 * 0.5 + 0.25 * 1.
    assert weight.value == 1 - 0.625 and weight.wrapper._inner_count == 1


@pytest.mark.parametrize('slopes', [(NAN, 1.0), (1.0, NAN)])
def test_a_part_that_is_no_number_costs_the_whole_batch(slopes):
    weight = Weight()
    first = weight.update(slopes[0], PartialUpdate, 0.5, False, False)
    last = weight.update(slopes[1], PartialUpdate, 0.5, True, first.verdict != FINE)
    assert weight.value == 1 and weight.parameter.grad is None
    assert NONFINITE in (first.verdict, last.verdict) and weight.wrapper._inner_count == 1


def test_processes_sum_gradients_in_the_last_part_only():
    class Wrapped(nn.Module):
        quiet = 0

        @contextlib.contextmanager
        def no_sync(self):
            self.quiet += 1
            yield

    model, weight = Wrapped(), Weight()
    quiet = []
    for last in (False, True):
        with PartialUpdate(weight.wrapper, 0.5, last, False).optim_context(model):
            quiet.append(model.quiet)
    assert quiet == [1, 1]


def test_gradients_are_averaged_where_any_process_has_one(monkeypatch):
    # The other process has used the first and the second parameter, with a gradient of 4.
    theirs = iter([torch.tensor([1, 1, 0], dtype=torch.uint8), *torch.full((2, 1), 4.0)])

    def with_another(own, operation):
        other = next(theirs)
        own.copy_(torch.maximum(own, other) if operation == 'max' else (own + other) / 2)

    monkeypatch.setattr(guarded_update, 'all_reduce', with_another)
    both, other, none = (nn.Parameter(torch.ones(1)) for _ in range(3))
    both.grad = torch.tensor([2.0])
    average_gradients([both, other, none])
    assert both.grad.tolist() == [3] and other.grad.tolist() == [2] and none.grad is None


@pytest.mark.parametrize(
    ('is_ddp', 'slopes', 'averaged'),
    [
        # DDP does it itself in the last backward pass of a step.
        (True, (1.0, 1.0), 0),
        (True, (NAN, 1.0), 0),
        (True, (1.0, NAN), 1),
        # Without DDP processes have nothing in common.
        (False, (1.0, NAN), 0),
    ],
)
def test_gradients_are_averaged_where_the_last_batch_of_a_step_is_left_out(
    monkeypatch, is_ddp, slopes, averaged
):
    calls = []
    monkeypatch.setattr(guarded_update, 'average_gradients', calls.append)
    if is_ddp:
        monkeypatch.setattr(guarded_update, 'DistributedDataParallel', nn.Identity)
    weight = Weight(accumulative_counts=2)
    for slope in slopes:
        weight.update(slope)
    assert calls == [[weight.parameter]] * averaged


class Engine:
    """What is read of a DeepSpeed engine that has just skipped a step."""

    skipped_steps = 0

    def __init__(self, fp16):
        self.fp16 = fp16

    def fp16_enabled(self):
        return self.fp16


@pytest.mark.parametrize(('fp16', 'verdict'), [(True, FINE), (False, NONFINITE)])
def test_deepspeeds_skips_are_faults_but_where_it_searches_for_a_scale(fp16, verdict):
    class Wrapper:
        model = Engine(fp16)

        def update_params(self, loss):
            self.model.skipped_steps += 1

    update = GuardedUpdate(Wrapper())
    update.update_params(torch.ones(()))
    assert (update.verdict, update.too_late) == (verdict, False)


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (1, True),
        (INF, False),
        (NAN, False),
        ('text', True),
        (None, True),
        (torch.tensor([1, 2]), True),
        (torch.tensor([1.0, NAN]), False),
        (torch.tensor(-INF, requires_grad=True), False),
        (torch.zeros(0), True),
    ],
)
def test_what_is_finite(value, expected):
    assert is_finite(value) is expected


def test_gradients_are_finite_together():
    # Squares of these add up to more than float16 holds.
    large = torch.full((4,), 60000.0, dtype=torch.float16)
    assert all_finite([large, torch.zeros(2, dtype=torch.bfloat16)]) and all_finite([])
    assert not all_finite([torch.zeros(3), torch.tensor([0.0, NAN]), torch.zeros(3)])
    assert not all_finite([torch.tensor([INF, -INF])])
    at = torch.tensor([[0, 0, 2]])
    sparse = torch.sparse_coo_tensor(at, torch.tensor([1.0, 1.0, 2.0]), (4,))
    assert all_finite([sparse])
    # Two entries of one place count as their sum, here NaN.
    sparse = torch.sparse_coo_tensor(at, torch.tensor([INF, -INF, 2.0]), (4,))
    assert not all_finite([sparse])
