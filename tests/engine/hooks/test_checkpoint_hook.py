from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from flmm.engine.checkpoint import load_training_state, save_training_state
from flmm.engine.hooks import AtomicCheckpointHook


class Recorder:
    """A runner that writes small states, and can fail like a full disk."""

    def __init__(self, folder, name):
        self.work_dir = str(folder)
        self.message_hub = MessageHub.get_instance(name)
        self.logger = SimpleNamespace(info=lambda text: None, warning=lambda text: None)
        self.iter = self.epoch = 0
        self.folder = folder
        self.disk_full = False
        self.seen = []

    def save_checkpoint(self, out_dir, filename, **kwargs):
        self.seen.append(sorted(path.name for path in self.folder.glob('*.pth')))
        if self.disk_full:
            raise OSError('No space left on device')
        meta = {'epoch': 0, 'iter': self.iter, 'seed': 0}
        save_training_state({'meta': meta, 'state_dict': {}}, f'{out_dir}/{filename}')

    def files(self):
        return sorted(path.name for path in self.folder.glob('*.pth'))


def make(tmp_path, name, **options):
    runner = Recorder(tmp_path, f'{name}_{tmp_path.name}')
    hook = AtomicCheckpointHook(interval=1, by_epoch=False, **options)
    hook.before_train(runner)
    return runner, hook


def save(runner, hook, step):
    runner.iter = step - 1
    hook._save_checkpoint(runner)


def test_the_old_one_goes_only_after_the_new_one_is_there(tmp_path):
    runner, hook = make(tmp_path, 'order', max_keep_ckpts=1)
    for step in (1, 2, 3):
        save(runner, hook, step)
    assert runner.seen == [[], ['iter_1.pth'], ['iter_2.pth']]
    assert runner.files() == ['iter_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_3.pth')


def test_a_full_disk_leaves_the_old_checkpoint_and_its_pointer(tmp_path):
    runner, hook = make(tmp_path, 'full', max_keep_ckpts=1)
    save(runner, hook, 1)
    runner.disk_full = True
    with pytest.raises(OSError, match='No space left'):
        save(runner, hook, 2)
    assert runner.files() == ['iter_1.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_1.pth')


def test_the_former_best_goes_only_after_the_new_best_is_there(tmp_path):
    runner, hook = make(tmp_path, 'best', save_best='score', rule='greater')
    for step, score in ((1, 0.5), (2, 0.4), (3, 0.6)):
        runner.iter = step
        hook.after_val_epoch(runner, {'score': score})
    assert runner.seen == [[], ['best_score_iter_1.pth']]
    assert runner.files() == ['best_score_iter_3.pth']


def test_a_better_score_at_the_same_step_keeps_its_file(tmp_path):
    runner, hook = make(tmp_path, 'same', save_best='score', rule='greater')
    runner.iter = 1
    for score in (0.5, 0.6):
        hook.after_val_epoch(runner, {'score': score})
    assert runner.files() == ['best_score_iter_1.pth']


def test_publishing_keeps_the_named_keys_only(tmp_path):
    runner, hook = make(tmp_path, 'publish', published_keys=['state_dict', 'meta'])
    save(runner, hook, 1)
    hook.after_train(runner)
    published = next(path for path in tmp_path.glob('iter_1-*.pth'))
    assert load_training_state(published)['state_dict'] == {}
