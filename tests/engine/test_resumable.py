"""What a run tells its checkpoints and takes from them; whole trainings are in test_faults."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from torch import nn

from flmm.engine.checkpoint import message_hub_to_plain, save_training_state
from flmm.engine.plain_state import to_plain
from flmm.engine.resumable import ResumableRunner, check_global_batch
from flmm.engine.runner import FLMMRunner
from flmm.engine.train_loops import ResumableLoop
from flmm.utils.errors import CheckpointError


class Base:
    """Stands in for a runner of mmengine."""

    @classmethod
    def from_cfg(cls, cfg):
        return cfg

    def build_train_loop(self, loop):
        return loop

    def train(self):
        self.load_or_resume()
        return self.bare_model


class Place(ResumableLoop):
    """A loop that only notes where it is to go on."""

    def __init__(self, batch_size=2):
        self.dataloader = SimpleNamespace(batch_sampler=SimpleNamespace(batch_size=batch_size))
        self.resumed = None

    def resume_at(self, *place):
        self.resumed = place


class Run(ResumableRunner, Base):
    """A run whose model is of no interest."""

    bare_model = nn.Module()

    def __init__(self, work_dir='.', load_from=None, resume=False, seed=7, rank=0, **randomness):
        self.work_dir, self._load_from, self._resume = str(work_dir), load_from, resume
        self.seed, self.rank, self._randomness_cfg = seed, rank, randomness
        self.logger, self.calls = logging.getLogger('run'), []
        self.train_loop, self._has_loaded = Place(), False
        self.epoch = self.iter = 0
        self.message_hub = MessageHub('run', resumed_keys={})

    def accumulation_complete(self):
        return True

    def accumulation(self):
        return 3

    def write_state(self, path, state, optimizer, schedulers):
        self.calls.append(('write', path, state, optimizer, schedulers))

    def read_weights(self, path, strict):
        self.calls.append(('weights', path, strict))

    def read_state(self, path, optimizer, schedulers):
        self.calls.append(('state', path, optimizer, schedulers))
        return {'meta': META}


META = {'epoch': 1, 'iter': 6, 'seed': 7}


def save(path, seed=7):
    save_training_state({'meta': {**META, 'seed': seed}, 'state_dict': {}}, path)


@pytest.mark.parametrize(
    'method',
    [
        *('bare_model', 'accumulation_complete', 'accumulation'),
        *('write_state', 'read_weights', 'read_state'),
    ],
)
def test_a_runner_has_to_say_how_its_own_state_is_kept(method):
    own = {name: value for name, value in vars(Run).items() if name != method}
    own = {name: value for name, value in own.items() if not name.startswith('__')}
    lacking = type('Lacking', (ResumableRunner, Base), own)
    with pytest.raises(TypeError, match=f"abstract .*'?{method}'?"):
        lacking()


def test_a_resumed_run_takes_the_seed_of_its_checkpoint(tmp_path):
    save(tmp_path / 'a.pth', seed=11)
    randomness = {'seed': 1, 'deterministic': True}

    def seed(**cfg):
        cfg = {'work_dir': str(tmp_path / 'work'), 'randomness': randomness, **cfg}
        return (Run.from_cfg(cfg).get('randomness') or {}).get('seed')

    path = str(tmp_path / 'a.pth')
    assert seed() == seed(load_from=path) == 1
    assert seed(resume=path) == seed(resume=True, load_from=path) == 11
    assert seed(resume=path, randomness=None) == 11
    # Nothing there yet: the run starts anew.
    assert seed(resume=True) == 1
    save(tmp_path / 'work' / 'iter_3.pth', seed=12)
    assert seed(resume=True) == 12
    cfg = {'resume': path, 'randomness': randomness}
    assert Run.from_cfg(cfg)['randomness'] == {'seed': 11, 'deterministic': True}
    # The caller's config stays as it is.
    assert cfg['randomness'] == {'seed': 1, 'deterministic': True}


def test_what_the_config_names_is_loaded_or_resumed_once(tmp_path):
    def calls(**options):
        run = Run(tmp_path, **options)
        run.load_or_resume()
        run.load_or_resume()
        return run.calls

    assert calls() == []
    assert calls(load_from='a.pth') == [('weights', 'a.pth', False)]
    assert calls(load_from='a.pth', resume=True) == [('state', 'a.pth', True, True)]
    assert calls(resume='b.pth') == [('state', 'b.pth', True, True)]
    # Alone it takes the newest, if there is one.
    assert calls(resume=True) == []
    save(tmp_path / 'iter_3.pth')
    assert calls(resume=True) == [('state', str(tmp_path / 'iter_3.pth'), True, True)]


def test_the_start_of_a_training_is_read_where_nothing_else_is(tmp_path, monkeypatch):
    def handed(**options):
        calls = []
        monkeypatch.setattr('flmm.engine.resumable.hand_over_weights', calls.append)
        run = Run(tmp_path, **options)
        assert run.train() is Run.bare_model
        return calls

    assert handed() == handed(resume=True) == [Run.bare_model]
    # These have all that trains; the other training may be gone.
    assert handed(load_from='a.pth') == handed(resume='a.pth') == []
    save(tmp_path / 'iter_3.pth')
    assert handed(resume=True) == []


def test_frozen_parts_of_an_earlier_training_are_there_before_a_checkpoint_is_loaded(
    tmp_path, monkeypatch
):
    class Parts(nn.Linear):
        """As refseg on ref: a frozen part that no checkpoint of its own holds."""

        starts_from = str(tmp_path / 'earlier.pth')

        def __init__(self, start_is_part):
            super().__init__(2, 1)
            self.start_is_part, self.calls = start_is_part, []

        def take_weights(self, weights, path):
            self.calls.append(('start', path))
            return sorted(weights)

    def order(start_is_part, **options):
        model = Parts(start_is_part)
        monkeypatch.setattr(Run, 'bare_model', model)
        run = Run(tmp_path, **options)
        run.calls = model.calls
        run.train()
        return [call[0] for call in run.calls]

    save_training_state({'meta': META, 'state_dict': {'weight': torch.zeros(1)}}, Parts.starts_from)
    assert order(True, resume='a.pth') == ['start', 'state']
    assert order(True, load_from='a.pth') == ['start', 'weights']
    assert order(True) == order(False) == ['start']
    assert order(False, resume='a.pth') == ['state']


def test_a_resumed_run_goes_on_at_its_place_with_the_state_of_its_own_process(monkeypatch):
    monkeypatch.setattr('flmm.engine.resumable.get_world_size', lambda: 2)

    def place(**state):
        run = Run(rank=1)
        run.restore_run({'meta': META, **state}, 'a.pth')
        return run.train_loop.resumed

    progress = {'pass': 1, 'batch': 2}
    assert place(progress=progress, random_states=['a', 'b']) == (1, 6, progress, 'b')
    # Of three processes: all take the first's, as samples do not draw from it.
    assert place(progress=progress, random_states=['a', 'b', 'c']) == (1, 6, progress, 'a')
    # Of an older version.
    assert place() == (1, 6, None, None)


def test_the_log_history_goes_on():
    hub = MessageHub('before', resumed_keys={})
    for value in (1.0, 3.0):
        hub.update_scalar('train/loss', value)
    run = Run()
    plain = to_plain(message_hub_to_plain(hub.state_dict()))
    run.restore_run({'meta': META, 'message_hub': plain}, 'a.pth')
    assert run.message_hub.get_scalar('train/loss').mean() == 2


def test_another_seed_is_an_error_that_says_which(monkeypatch):
    with pytest.raises(CheckpointError, match=r'a\.pth.*seed 7.*has 8.*randomness=dict\(seed=7\)'):
        Run(seed=8).restore_run({'meta': META}, 'a.pth')
    # mmengine adds the rank where processes are to differ.
    monkeypatch.setattr('flmm.engine.resumable.get_world_size', lambda: 2)
    run = Run(seed=8, rank=1, diff_rank_seed=True)
    run.restore_run({'meta': META}, 'a.pth')
    assert run.train_loop.resumed[:2] == (1, 6)


def test_a_loop_of_another_kind_gets_its_numbers_and_a_warning(caplog):
    logger = MMLogger.get_instance('resumable')
    logger.addHandler(caplog.handler)
    run = Run()
    run.train_loop = SimpleNamespace()
    try:
        run.restore_run({'meta': META}, 'a.pth')
    finally:
        logger.removeHandler(caplog.handler)
    assert vars(run.train_loop) == {'_epoch': 1, '_iter': 6}
    assert 'SimpleNamespace is none of the resumable loops' in caplog.text


@pytest.mark.parametrize(
    ('saved', 'words'),
    [
        # Of two processes with 4 each; now 2 on one.
        (dict(samples=8, processes=2, accumulation=3), r'8 samples.*2 processes.*batch_size=8\.'),
        (dict(samples=2, processes=1, accumulation=1), 'accumulative_counts=1, this run has 3'),
        (dict(samples=2, processes=1), 'another form'),
        ([2, 1, 3], 'another form'),
    ],
)
def test_another_global_batch_is_refused_before_anything_is_restored(saved, words):
    run = Run()
    with pytest.raises(CheckpointError, match=f'a.pth at global_batch.*{words}'):
        run.restore_run({'meta': META, 'global_batch': saved}, 'a.pth')
    assert run.train_loop.resumed is None


def test_processes_may_change_where_their_batch_together_does_not():
    saved = dict(samples=12, processes=2, accumulation=1)
    check_global_batch(saved, dict(samples=12, processes=4, accumulation=1), 'a.pth')
    with pytest.raises(CheckpointError, match=r'batch_size=3\. To start anew'):
        check_global_batch(saved, dict(samples=24, processes=4, accumulation=1), 'a.pth')
    with pytest.raises(CheckpointError, match='number of processes that divides 12'):
        check_global_batch(saved, dict(samples=10, processes=5, accumulation=1), 'a.pth')


@pytest.fixture
def runner(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir, cfg.log_level = str(tmp_path / 'work'), 'ERROR'
    cfg.default_hooks.checkpoint.interval = 2
    return FLMMRunner.from_cfg(cfg)


def test_a_state_says_where_the_run_is_and_what_made_its_steps(runner):
    seen = []
    runner.write_state = lambda path, state, optimizer, schedulers: seen.append((path, state))
    runner.train()
    assert [path.rpartition('/')[2] for path, _ in seen] == ['iter_2.pth', 'iter_4.pth']
    for step, (_, state) in zip((2, 4), seen, strict=True):
        assert (state['meta']['epoch'], state['meta']['iter']) == (0, step)
        assert state['meta']['seed'] == 7 and 'max_iters' in state['meta']['config']
        assert state['progress'] == {'pass': 0, 'batch': step}
        assert state['global_batch'] == {'samples': 2, 'processes': 1, 'accumulation': 1}
        assert len(state['random_states']) == 1
        history = state['message_hub']['log_scalars']['train/loss']['log_history']
        assert len(history) == step
        assert to_plain(state).keys() == state.keys()


def test_at_the_end_of_an_epoch_it_counts_and_callers_may_know_better(runner):
    runner.train()
    assert runner.run_state(None, by_epoch=True)['meta']['epoch'] == 1
    assert runner.run_state(None, by_epoch=True)['meta']['iter'] == 4
    meta = runner.run_state({'iter': 9, 'note': 'x', 'seed': 0}, by_epoch=False)['meta']
    assert (meta['iter'], meta['note'], meta['seed']) == (9, 'x', 7)


def test_only_the_first_process_has_a_state_to_write(runner, monkeypatch):
    monkeypatch.setattr('flmm.engine.resumable.is_main_process', lambda: False)
    assert runner.run_state(None, by_epoch=False) == {}
