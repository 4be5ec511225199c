import pytest
import torch

from flmm.engine.safe_io import load_torch_file
from flmm.utils.errors import CheckpointError, UnsafeFileError


def test_a_malicious_file_is_refused_by_name_and_not_executed(tmp_path, canary):
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': {}, 'meta': canary}, path)
    with pytest.raises(UnsafeFileError, match=r'evil\.pth.*nothing in it was executed'):
        load_torch_file(path)
    assert not canary.path.exists()


def test_a_malicious_file_of_the_old_format_is_refused_too(tmp_path, canary):
    path = tmp_path / 'evil.pth'
    torch.save(canary, path, _use_new_zipfile_serialization=False)
    with pytest.raises(UnsafeFileError, match=r'evil\.pth'):
        load_torch_file(path)
    assert not canary.path.exists()


@pytest.mark.parametrize('share', [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused_by_name(tmp_path, share):
    path = tmp_path / 'cut.pth'
    torch.save({'a': torch.zeros(100)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises((CheckpointError, UnsafeFileError), match=r'cut\.pth'):
        load_torch_file(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(CheckpointError, match='no such file'):
        load_torch_file(tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match='is a folder'):
        load_torch_file(tmp_path)
