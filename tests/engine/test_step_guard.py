"""Injected faults: NaN losses and gradients, memory that runs out, alone and on two processes."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from flmm.engine import step_guard
from flmm.engine.step_guard import NonFiniteError, StepGuard, TrainingMemoryError


class Line(BaseModel):
    """w * x, squared error to y; faults can be ordered for a step or a size of batch."""

    def __init__(self, most=None, bad_gradient=False):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.most, self.bad_gradient, self.sizes = most, bad_gradient, []

    def forward(self, x, y, mode='loss'):
        self.sizes.append(len(x))
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
        loss = (self.weight * x - y).square().mean()
        if self.bad_gradient:
            # sqrt at 0: the value is fine, its gradient is infinite.
            loss = loss + (self.weight - self.weight.detach()).abs().sum().sqrt()
        return {'loss': loss}


def batch(*values):
    x = torch.tensor(values)
    return {'x': x, 'y': 3 * x}


def train(model, batches, guard, **options):
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), **options)
    return [guard.step(model, data, wrapper) for data in batches]


GOOD, BAD = batch(1.0, 2.0), batch(1.0, float('nan'))


@pytest.fixture
def log(caplog):
    """The warnings of a run; mmengine's loggers do not pass them on."""
    logger = MMLogger.get_instance('guard')
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_a_good_step_is_the_step_that_mmengine_makes():
    ours, theirs = Line(), Line()
    wrapper = OptimWrapper(torch.optim.SGD(theirs.parameters(), lr=0.1), clip_grad={'max_norm': 1})
    for data in (GOOD, GOOD):
        expected = theirs.train_step(data, wrapper)
    outputs = train(ours, [GOOD, GOOD], StepGuard(), clip_grad={'max_norm': 1})
    assert ours.weight == theirs.weight
    assert outputs[-1]['loss'] == expected['loss']


@pytest.mark.parametrize('fault', ['loss', 'gradient'])
def test_a_bad_step_is_skipped_and_counted_and_training_goes_on(log, fault):
    model, guard = Line(), StepGuard()
    train(model, [GOOD], guard)
    before = model.weight.item()
    model.bad_gradient = fault == 'gradient'
    (outputs,) = train(model, [BAD if fault == 'loss' else GOOD], guard)
    assert model.weight.item() == before and guard.skipped == 1
    assert 'loss' not in outputs
    assert [r.levelname for r in log.records if 'step skipped (1 so far)' in r.message] == [
        'WARNING'
    ]
    assert 'a batch of 2 samples' in log.text
    model.bad_gradient = False
    train(model, [GOOD], guard)
    assert model.weight.item() != before


@pytest.mark.parametrize('fault', ['loss', 'gradient'])
def test_the_config_may_stop_training_instead(fault):
    model = Line(bad_gradient=fault == 'gradient')
    with pytest.raises(NonFiniteError, match=r'not finite.*step_guard.on_nonfinite'):
        train(model, [BAD if fault == 'loss' else GOOD], StepGuard(on_nonfinite='stop'))
    assert model.weight.item() == 1.0


def test_too_many_bad_steps_in_a_row_stop_training_but_not_in_sum():
    model = Line()
    train(model, [BAD, BAD, GOOD, BAD, BAD, GOOD], StepGuard(max_skips=3))
    with pytest.raises(NonFiniteError, match='step 3 of such steps in a row'):
        train(model, [BAD, BAD, BAD], StepGuard(max_skips=3))


def test_with_accumulation_a_bad_loss_costs_its_micro_batch_only():
    # Gradient of the good one at w = 1: mean of 2 (w - 3) x^2 = -10; half of it, times 0.1.
    model = Line()
    train(model, [BAD, GOOD], StepGuard(), accumulative_counts=2)
    assert model.weight.item() == pytest.approx(1.5)
    model = Line()
    train(model, [GOOD, BAD], StepGuard(), accumulative_counts=2)
    assert model.weight.item() == pytest.approx(1.5)


@pytest.mark.parametrize('size', [4, 5])
def test_out_of_memory_repeats_the_step_in_halves_with_the_same_result(log, size):
    data = batch(*(float(i + 1) / size for i in range(size)))
    whole, halved, guard = Line(), Line(most=size - 1), StepGuard()
    (expected,) = train(whole, [data], StepGuard())
    (outputs,) = train(halved, [data], guard)
    assert halved.sizes == [size, (size + 1) // 2, size // 2]
    assert halved.weight.item() == pytest.approx(whole.weight.item(), rel=1e-6)
    assert outputs['loss'].item() == pytest.approx(expected['loss'].item(), rel=1e-6)
    assert guard.split == 1
    assert 'Trying once more in two halves' in log.text and 'batch_size lower' in log.text


def test_out_of_memory_in_the_backward_pass_repeats_it_too():
    class Backward(Line):
        def forward(self, x, y, mode='loss'):
            losses = super().forward(x, y, mode)
            if len(x) > 2:
                losses['loss'].register_hook(self.fail)
            return losses

        @staticmethod
        def fail(_):
            raise torch.OutOfMemoryError('CUDA out of memory.')

    data, model, whole = batch(0.1, 0.2, 0.3, 0.4), Backward(), Line()
    train(model, [data, data], StepGuard())
    train(whole, [data, data], StepGuard())
    assert model.weight.item() == pytest.approx(whole.weight.item(), rel=1e-6)


def test_with_accumulation_a_halved_batch_counts_once():
    data = batch(0.1, 0.2, 0.3, 0.4)
    model, whole = Line(most=3), Line()
    train(model, [data] * 4, StepGuard(), accumulative_counts=2)
    train(whole, [data] * 4, StepGuard(), accumulative_counts=2)
    assert model.weight.item() == pytest.approx(whole.weight.item(), rel=1e-6)


def test_if_halves_do_not_fit_either_the_error_says_what_to_change():
    with pytest.raises(TrainingMemoryError, match=r'second try.*batch_size lower.*--dry-run'):
        train(Line(most=1), [batch(1.0, 2.0, 3.0, 4.0)], StepGuard())
    with pytest.raises(TrainingMemoryError, match='one sample'):
        train(Line(most=0), [batch(1.0)], StepGuard())
    with pytest.raises(TrainingMemoryError, match="on_out_of_memory is 'stop'"):
        train(Line(most=1), [GOOD], StepGuard(on_out_of_memory='stop'))


def test_a_bad_half_costs_the_whole_step():
    model, guard = Line(most=3), StepGuard()
    train(model, [batch(0.1, 0.2, 0.3, float('inf'))], guard)
    assert model.weight.item() == 1.0 and guard.skipped == 1


def test_other_errors_pass_through():
    class Broken(Line):
        def forward(self, x, y, mode='loss'):
            raise RuntimeError('mat1 and mat2 shapes cannot be multiplied')

    with pytest.raises(RuntimeError, match='mat1 and mat2'):
        train(Broken(), [GOOD], StepGuard())
    with pytest.raises(ValueError, match='on_nonfinite'):
        StepGuard(on_nonfinite='ignore')
    with pytest.raises(ValueError, match='on_out_of_memory'):
        StepGuard(on_out_of_memory='retry')


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (torch.OutOfMemoryError('x'), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED'), True),
        (RuntimeError('shape mismatch'), False),
        (ValueError('out of memory'), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert step_guard.is_out_of_memory(error) is expected


class FakeEngine:
    """What the guard reads of a DeepSpeed engine."""

    def __init__(self):
        self.skipped_steps, self.norm = 0, 1.0

    def fp16_enabled(self):
        return False

    def get_global_grad_norm(self):
        return self.norm


class FakeDeepSpeedWrapper:
    def __init__(self, model, skips=0, norm=1.0):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.model, self.updates = FakeEngine(), 0
        self.skips, self.norm = skips, norm

    def optim_context(self, model):
        return contextlib.nullcontext()

    def update_params(self, loss):
        self.updates += 1
        self.model.skipped_steps += self.skips
        self.model.norm = self.norm


def test_under_deepspeed_a_bad_loss_never_reaches_the_engine():
    model, guard = Line(), StepGuard()
    wrapper = FakeDeepSpeedWrapper(model)
    guard.step(model, BAD, wrapper)
    assert wrapper.updates == 0 and guard.skipped == 1
    guard.step(model, GOOD, wrapper)
    assert wrapper.updates == 1 and guard.skipped == 1


def test_under_deepspeed_its_own_check_is_counted_and_its_lack_is_an_error():
    model, guard = Line(), StepGuard()
    guard.step(model, GOOD, FakeDeepSpeedWrapper(model, skips=1))
    assert guard.skipped == 1
    with pytest.raises(NonFiniteError, match='DeepSpeed.*Resume from the last checkpoint'):
        guard.step(model, GOOD, FakeDeepSpeedWrapper(model, norm=float('nan')))
    with pytest.raises(TrainingMemoryError, match='DeepSpeed cannot repeat'):
        guard.step(Line(most=1), GOOD, FakeDeepSpeedWrapper(model))


def test_two_processes_decide_alike(tmp_path):
    script = Path(__file__).parent / 'guard_ranks.py'
    command = [sys.executable, str(script), str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    # First one that fails would leave the other waiting.
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    found = [json.loads(output.splitlines()[-1]) for output in outputs]
    assert found[0]['weights'] == found[1]['weights']
    assert [(rank['skipped'], rank['split']) for rank in found] == [(1, 1), (1, 1)]
    # Gradient of GOOD at w: 5 (w - 3); step 2 was skipped, step 3 is the same in halves.
    assert found[0]['weights'] == pytest.approx([2.0, 2.0, 2.5])
    assert found[0]['sizes'] == found[1]['sizes'] == [2, 2, 2, 1, 1]
    # They stay alike also where the batch in which DDP would sum gradients is left out.
    assert found[0]['accumulated'] == found[1]['accumulated']
    # Slopes at w = 1, other = 0: -4 and -16, halved as two batches make a step; mean -5 and, as
    # only rank 1 uses it, -4. What nobody uses has no gradient: its decay would show.
    # Then 2 (1.5 - 3) = -3 and 8 (1.9 - 3) = -8.8: mean -5.9, and -4.4.
    expected = [[1, 0, 1], [1.5, 0.4, 1], [1.5, 0.4, 1], [2.09, 0.84, 1]]
    for values, numbers in zip(found[0]['accumulated'], expected, strict=True):
        assert values == pytest.approx(numbers)
