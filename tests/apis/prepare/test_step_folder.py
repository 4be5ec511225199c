"""Temporary folders of steps: killed processes are children forked here."""

import os
import signal

import pytest

from flmm.apis.prepare import BuildFolder
from flmm.apis.prepare.step_folder import OWNER, remove_left_folders, step_folder


def hidden(root):
    return sorted(path for path in root.iterdir() if path.name.startswith('.'))


def in_a_child(work):
    """Do ``work`` in a forked process; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return child


def killed_half_way(out):
    (out / 'deep').mkdir()
    (out / 'deep/part.txt').write_text('half')
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def left(tmp_path):
    """Folder of a step that was killed."""
    child = in_a_child(lambda: BuildFolder(tmp_path, quiet=True).step('a', [], killed_half_way))
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (folder,) = hidden(tmp_path)
    assert (folder / 'files/deep/part.txt').read_text() == 'half'
    return folder


def whole(out):
    (out / 'a.txt').write_text('whole')
    return {}


@pytest.mark.parametrize('name', ['a', 'another'])
def test_the_next_step_removes_what_a_kill_left(tmp_path, left, name):
    BuildFolder(tmp_path, quiet=True).step(name, [], whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.build', 'a.txt']


def test_the_folder_of_a_process_that_lives_stays(tmp_path):
    ready, goes_on = os.pipe(), os.pipe()

    def waits(out):
        (out / 'b.txt').write_text('slow')
        os.write(ready[1], b'1')
        os.read(goes_on[0], 1)
        return {}

    def work():
        BuildFolder(tmp_path, quiet=True).step('slow', [], waits)
        os._exit(0)

    child = in_a_child(work)
    assert os.read(ready[0], 1)
    BuildFolder(tmp_path, quiet=True).step('a', [], whole)
    assert any(path.name.startswith('.slow.') for path in hidden(tmp_path))
    os.write(goes_on[1], b'1')
    assert os.waitpid(child, 0)[1] == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['.build', 'a.txt', 'b.txt']
    assert (tmp_path / 'b.txt').read_text() == 'slow'


def test_what_it_did_not_make_stays(tmp_path, left):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    for folder, text in (('.git', None), ('.a.1', 'mine'), ('visible', (left / OWNER).read_text())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'kept.txt').write_text('x')
        if text is not None:
            (tmp_path / folder / OWNER).write_text(text)
    left.rename(elsewhere / left.name)
    (tmp_path / '.link').symlink_to(elsewhere / left.name)
    assert remove_left_folders(tmp_path) == []
    assert (elsewhere / left.name / 'files/deep/part.txt').exists()
    assert all((tmp_path / name / 'kept.txt').exists() for name in ('.git', '.a.1', 'visible'))
    assert remove_left_folders(elsewhere) == [left.name]
    assert not list(elsewhere.iterdir())


def test_a_step_within_a_step_spares_the_outer_one(tmp_path):
    with step_folder(tmp_path, 'outer') as outer:
        (outer / 'x').write_text('x')
        with step_folder(tmp_path, 'inner') as inner:
            assert not list(inner.iterdir()) and (outer / 'x').exists()
        assert not inner.exists()
    assert not list(tmp_path.iterdir())
