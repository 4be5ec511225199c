"""Loops that go on where a run was: at every place, with what was drawn, and who is told."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.logging import MMLogger
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, ValLoop
from torch import nn
from torch.utils.data import DataLoader, Dataset

from flmm.engine import train_loops
from flmm.engine.random_state import random_state
from flmm.engine.train_loops import (
    ResumableEpochLoop,
    ResumableIterLoop,
    loss_of_all,
    resumable_loop_config,
)


class Draws(Dataset):
    """Index, and a number as augmentation draws it."""

    metainfo = {'dataset': 'draws'}

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index, float(torch.rand(()))


class Dice:
    """A guard whose steps draw a number, as dropout does, and change nothing."""

    def step(self, model, data_batch, optim_wrapper):
        assert model.training
        return {'loss': torch.rand(())}


class Bench:
    """What a loop needs of a runner; writes down what it does.

    Seven samples in twos: a pass has four batches.
    """

    def __init__(self, kind, dataloader=None, sampler=DefaultSampler, count=7, **options):
        self.rank, self.seed = options.pop('rank', 0), options.pop('seed', 5)
        self._randomness_cfg = options.pop('randomness', {})
        self.cfg, self.visualizer = {'step_guard': {'type': Dice}}, SimpleNamespace()
        self.model, self.optim_wrapper, self.val_loop = nn.Identity(), None, None
        self.events, self.steps, self.saved, self.stop_at = [], [], [], None
        self.build_dataloader = Runner.build_dataloader
        if dataloader is None:
            dataloader = dict(
                batch_size=2,
                num_workers=0,
                dataset=Draws(count),
                collate_fn=dict(type=list),
                sampler=dict(type=sampler, shuffle=True),
                drop_last=options.pop('drop_last', False),
            )
        self.loop = kind(self, dataloader, **options)

    def call_hook(self, name, batch_idx=None, data_batch=None, outputs=None):
        self.events.append(name)
        if name != 'after_train_iter':
            return
        loop = self.loop
        # As hooks see it: the iteration is not counted yet.
        self.steps.append((loop.epoch, loop.iter, batch_idx, data_batch, float(outputs['loss'])))
        self.saved.append((loop.epoch, loop.iter + 1, loop.progress(), random_state()))
        loop.stop_training = len(self.steps) == self.stop_at

    def run(self):
        assert self.loop.run() is self.model
        return self


class Validation:
    """Draws numbers itself; notes after how many epochs and iterations it ran."""

    def __init__(self, runner):
        self.runner, self.ran = runner, []

    def run(self):
        torch.rand(3)
        self.runner.model.eval()
        self.ran.append((self.runner.loop.epoch, self.runner.loop.iter))


KINDS = pytest.mark.parametrize(
    ('kind', 'options'),
    [
        (ResumableEpochLoop, dict(max_epochs=3)),
        (ResumableIterLoop, dict(max_iters=10)),
        (ResumableIterLoop, dict(max_iters=10, sampler=InfiniteSampler)),
    ],
)


@pytest.fixture
def log(caplog):
    """What the loops log; mmengine's loggers do not pass it on."""
    logger = MMLogger.get_instance('train_loops')
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@KINDS
def test_a_run_resumed_after_any_step_takes_the_steps_that_were_left(kind, options):
    whole = Bench(kind, **options).run()
    assert len(whole.steps) == (12 if kind is ResumableEpochLoop else 10)
    for done, place in enumerate(whole.saved, start=1):
        torch.manual_seed(done)
        late = Bench(kind, **options)
        late.loop.resume_at(*place)
        late.run()
        assert late.steps == whole.steps[done:]
        assert (late.loop.epoch, late.loop.iter) == (whole.loop.epoch, whole.loop.iter)


@pytest.mark.parametrize(
    ('kind', 'place', 'options'),
    [
        # Six of four in a pass: the second one's third.
        (ResumableEpochLoop, (1, 6), dict(max_epochs=3)),
        (ResumableIterLoop, (0, 6), dict(max_iters=10, sampler=InfiniteSampler)),
    ],
)
def test_where_a_checkpoint_does_not_tell_the_place_it_is_found_from_the_counts(
    kind, place, options
):
    whole = Bench(kind, **options).run()
    late = Bench(kind, **options)
    late.loop.resume_at(*place, None, None)
    late.run()
    # All but what the model draws: batches and their numbers.
    assert [step[:4] for step in late.steps] == [step[:4] for step in whole.steps[6:]]


def test_in_a_dataloader_that_is_built_the_place_is_found_by_loading(log):
    def run(*place):
        loader = DataLoader(Draws(7), batch_size=2, collate_fn=lambda batch: [i for i, _ in batch])
        bench = Bench(ResumableEpochLoop, loader, max_epochs=1)
        if place:
            bench.loop.resume_at(*place, None)
        return [step[3] for step in bench.run().steps]

    assert run() == [[0, 1], [2, 3], [4, 5], [6]]
    assert run(0, 0, {'pass': 0, 'batch': 0}) == run()
    assert 'loaded to find' not in log.text
    assert run(0, 3, {'pass': 0, 'batch': 3}) == [[6]]
    assert '3 batches are loaded to find the place again' in log.text


def test_hooks_see_every_epoch_of_one_loop_and_one_of_the_other():
    step = ['before_train_iter', 'after_train_iter']
    epoch = ['before_train_epoch', *step * 4, 'after_train_epoch']
    bench = Bench(ResumableEpochLoop, max_epochs=2).run()
    assert bench.events == ['before_train', *epoch * 2, 'after_train']
    assert [step[:3] for step in bench.steps] == [(i // 4, i, i % 4) for i in range(8)]
    bench = Bench(ResumableIterLoop, max_iters=6).run()
    one = ['before_train_epoch', *step * 6, 'after_train_epoch']
    assert bench.events == ['before_train', *one, 'after_train']
    assert [step[:3] for step in bench.steps] == [(0, i, i) for i in range(6)]


@KINDS
def test_the_picture_drawer_knows_the_dataset(kind, options):
    assert Bench(kind, **options).visualizer.dataset_meta == {'dataset': 'draws'}


@pytest.mark.parametrize(
    ('kind', 'options', 'expected'),
    [
        (ResumableEpochLoop, dict(max_epochs=5, val_begin=2, val_interval=2), [2, 4, 5]),
        (ResumableEpochLoop, dict(max_epochs=2, val_begin=3), []),
        (ResumableIterLoop, dict(max_iters=10, val_begin=4, val_interval=3), [6, 9, 10]),
        # From the sixth on every second: mmengine looks one ahead.
        (
            ResumableIterLoop,
            dict(max_iters=10, val_interval=5, dynamic_intervals=[(7, 2)]),
            [5, 6, 8, 10],
        ),
    ],
)
def test_validation_comes_when_due_and_changes_no_step(kind, options, expected):
    torch.manual_seed(0)
    without = Bench(kind, **options).run()
    torch.manual_seed(0)
    bench = Bench(kind, **options)
    bench.val_loop = Validation(bench)
    bench.run()
    column = 0 if kind is ResumableEpochLoop else 1
    assert [ran[column] for ran in bench.val_loop.ran] == expected
    assert bench.steps == without.steps


def test_training_may_be_stopped_by_a_hook():
    bench = Bench(ResumableIterLoop, max_iters=10)
    bench.stop_at = 3
    bench.run()
    assert len(bench.steps) == 3 and bench.events[-2:] == ['after_train_epoch', 'after_train']
    bench = Bench(ResumableEpochLoop, max_epochs=3)
    bench.stop_at = 8
    # At the end of its epoch.
    assert len(bench.run().steps) == 8


def test_data_without_a_batch_are_an_error_and_no_endless_loop():
    bench = Bench(ResumableIterLoop, max_iters=3, count=1, drop_last=True)
    with pytest.raises(ValueError, match='gives no batch'):
        bench.loop.run()


def test_samples_do_not_depend_on_the_process_that_draws_them():
    def seed(**options):
        return Bench(ResumableIterLoop, max_iters=1, **options).loop.dataloader.dataset.seed

    assert seed(seed=5) == seed(seed=5, rank=3) == 5
    # mmengine has added the rank.
    assert seed(seed=8, rank=3, randomness={'diff_rank_seed': True}) == 5


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        (dict(type=EpochBasedTrainLoop, max_epochs=3), ResumableEpochLoop),
        (dict(type='EpochBasedTrainLoop', max_epochs=3), ResumableEpochLoop),
        (dict(by_epoch=True, max_epochs=3), ResumableEpochLoop),
        (dict(type=IterBasedTrainLoop, max_iters=3), ResumableIterLoop),
        (dict(type='IterBasedTrainLoop', max_iters=3), ResumableIterLoop),
        (dict(by_epoch=False, max_iters=3), ResumableIterLoop),
        (dict(type=ValLoop), ValLoop),
        (dict(type='AnotherLoop', by_epoch=True), 'AnotherLoop'),
    ],
)
def test_mmengines_loops_are_replaced_and_no_others(config, expected):
    before = dict(config)
    found = resumable_loop_config(config)
    assert found.pop('type') == expected and config == before
    kept = {'max_epochs', 'max_iters'} if expected != 'AnotherLoop' else {'by_epoch'}
    assert found == {name: value for name, value in before.items() if name in kept}


def test_the_loss_of_all_processes_is_their_mean(monkeypatch):
    outputs = {'loss': torch.tensor(1.0), 'loss_dice': torch.tensor(0.5)}
    assert loss_of_all(outputs) is outputs

    def with_another(own, operation):
        assert operation == 'mean'
        own.add_(4).div_(2)

    monkeypatch.setattr(train_loops, 'get_world_size', lambda: 2)
    monkeypatch.setattr(train_loops, 'all_reduce', with_another)
    # The parts stay this process's own, and so does what the model returned.
    assert loss_of_all(outputs) == {'loss': 2.5, 'loss_dice': 0.5}
    assert outputs['loss'] == 1
    assert loss_of_all({'loss': 2.0}) == {'loss': 3}
    skipped = {'loss_dice': 1.0}
    assert loss_of_all(skipped) is skipped and loss_of_all(None) is None
