"""Which of the checkpoints in a folder a run goes on from."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from flmm.engine.atomic_write import replaced_folder
from flmm.engine.checkpoint import save_training_state
from flmm.engine.latest import check_training_state, find_latest_training_state, read_meta
from flmm.engine.sharded_checkpoint import save_sharded_state
from flmm.utils.errors import CheckpointError, UnsafeFileError


def save(path, step=3):
    meta = {'epoch': 0, 'iter': step, 'seed': 11}
    save_training_state({'meta': meta, 'state_dict': {}}, path)


def save_folder(path, step=3):
    common = {'meta': {'epoch': 0, 'iter': step, 'seed': 11}, 'state_dict': {}}
    save_sharded_state(path, {**common, 'shapes': {}, 'aliases': {}, 'zero': {}}, {}, rank=0)


@pytest.fixture
def latest(tmp_path):
    """The name of what is found in the folder of the test."""

    def latest():
        found = find_latest_training_state(tmp_path)
        assert found is None or found.parent == tmp_path
        return found and found.name

    return latest


def test_the_newest_whole_state_is_found(tmp_path, latest):
    assert latest() is None
    for step in (2, 9, 10):
        save(tmp_path / f'iter_{step}.pth')
    assert latest() == 'iter_10.pth'
    (tmp_path / 'iter_10.pth').write_bytes(b'cut')
    assert latest() == 'iter_9.pth'
    # The pointer's folder does not count: the work dir may have been moved.
    (tmp_path / 'last_checkpoint').write_text('/somewhere/else/iter_2.pth')
    assert latest() == 'iter_2.pth'


@pytest.mark.parametrize('pointer', [b'', b'\n', b'\xff\xfe', b'gone.pth', b'/', b'iter_9.pth'])
def test_a_pointer_that_leads_nowhere_is_passed_over(tmp_path, latest, pointer):
    for step in (2, 9, 10):
        save(tmp_path / f'iter_{step}.pth')
    (tmp_path / 'iter_9.pth').write_bytes(b'cut')
    (tmp_path / 'last_checkpoint').write_bytes(pointer)
    assert latest() == 'iter_10.pth'


def test_files_and_folders_of_iterations_and_epochs_count_and_no_others(tmp_path, latest):
    for name in ('best_score_iter_99.pth', 'iter_98.pth.bak', '.iter_97.pth', 'iter_x.pth'):
        save(tmp_path / name)
    assert latest() is None
    save_folder(tmp_path / 'iter_7.pth')
    assert latest() == 'iter_7.pth'
    save(tmp_path / 'epoch_8.pth')
    assert latest() == 'epoch_8.pth'
    # But one that the pointer names may be called anything.
    (tmp_path / 'last_checkpoint').write_text('best_score_iter_99.pth\n')
    assert latest() == 'best_score_iter_99.pth'


def test_a_kill_while_a_folder_was_replaced_leaves_the_one_set_aside(tmp_path, latest):
    newest = tmp_path / 'iter_4.pth'
    save_folder(newest)
    (tmp_path / 'last_checkpoint').write_text(str(newest))
    newest.rename(replaced_folder(newest))
    assert latest() == replaced_folder(newest).name
    # Once the new one is there, it counts.
    save_folder(newest)
    assert latest() == 'iter_4.pth'


def test_what_is_passed_over_is_named_and_code_in_it_never_runs(tmp_path, latest, canary, caplog):
    save(tmp_path / 'iter_2.pth')
    (tmp_path / 'iter_3.pth').write_bytes(b'cut')
    torch.save({'meta': {'epoch': 0, 'iter': 4, 'seed': 1}, 'x': canary}, tmp_path / 'iter_4.pth')
    logger = MMLogger.get_instance('latest')
    logger.addHandler(caplog.handler)
    try:
        assert latest() == 'iter_2.pth'
    finally:
        logger.removeHandler(caplog.handler)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [('iter_4' in text, 'iter_3' in text) for text in warnings] == [
        (True, False),
        (False, True),
    ]
    assert not canary.path.exists()


@pytest.mark.parametrize('write', [save, save_folder])
def test_the_meta_of_a_file_or_folder_is_read(tmp_path, write):
    write(tmp_path / 'iter_5.pth', 5)
    meta = read_meta(tmp_path / 'iter_5.pth')
    assert (meta['epoch'], meta['iter'], meta['seed']) == (0, 5, 11)
    assert check_training_state(tmp_path / 'iter_5.pth') is None


@pytest.mark.parametrize('use', [read_meta, check_training_state])
def test_what_is_no_training_state_is_an_error(tmp_path, use, canary):
    for name in ('gone.pth', 'folder'):
        (tmp_path / 'folder').mkdir(exist_ok=True)
        with pytest.raises(CheckpointError, match=name):
            use(tmp_path / name)
    torch.save({'meta': {'epoch': 0, 'iter': 4, 'seed': 1}, 'x': canary}, tmp_path / 'a.pth')
    with pytest.raises(UnsafeFileError, match='a.pth'):
        use(tmp_path / 'a.pth')
    assert not canary.path.exists()
