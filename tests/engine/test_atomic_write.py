import errno

import pytest

from flmm.engine.atomic_write import write_atomically, write_text_atomically


def test_content_arrives_and_nothing_else_is_left(tmp_path):
    write_text_atomically(tmp_path / 'new' / 'a.txt', 'hé')
    assert (tmp_path / 'new' / 'a.txt').read_text(encoding='utf-8') == 'hé'
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.txt']


def test_a_full_disk_leaves_the_old_file_and_no_remains(tmp_path):
    path = tmp_path / 'state.pth'
    path.write_bytes(b'old')

    def write(file):
        file.write(b'ne')
        raise OSError(errno.ENOSPC, 'No space left on device')

    with pytest.raises(OSError, match='No space left'):
        write_atomically(path, write)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]
