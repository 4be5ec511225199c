import json

import pytest
import torch

from flmm.engine import sharded_checkpoint
from flmm.engine.checksum import file_sha256, save_with_checksum
from flmm.engine.latest import find_latest_training_state
from flmm.engine.sharded_checkpoint import (
    check_sharded_state,
    is_sharded_state,
    load_common,
    load_sharded_weights,
    read_pieces,
    save_sharded_state,
)
from flmm.utils.errors import CheckpointError, CheckpointWriteError, UnsafeFileError


def common():
    return {
        'meta': {'epoch': 0, 'iter': 3, 'seed': 1},
        'state_dict': {'norm.running_mean': torch.tensor([7.0])},
        'shapes': {'a': [2, 3], 'b': [2]},
        'aliases': {'tied': 'a'},
        'zero': {},
    }


#: `a` is cut after its fourth number, as a process's share ends there.
FIRST = {
    'a': {'start': 0, 'weight': torch.arange(4.0)},
    'b': {'start': 0, 'weight': torch.tensor([8.0, 9.0])},
}
SECOND = {'a': {'start': 4, 'weight': torch.tensor([4.0, 5.0])}}


def write(folder, pieces=(FIRST, SECOND)):
    """A folder as processes together write it."""
    save_sharded_state(folder, common(), pieces[0], rank=0)
    manifest = json.loads((folder / 'manifest.json').read_text())
    for rank, own in enumerate(pieces[1:], start=1):
        path = folder / f'rank_{rank:05d}.pth'
        with open(path, 'wb') as file:
            save_with_checksum({'rank': rank, 'pieces': own}, file)
        manifest['files'][path.name] = {'size': path.stat().st_size, 'sha256': file_sha256(path)}
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    return folder


def test_pieces_of_all_processes_make_the_parameters(tmp_path):
    folder = write(tmp_path / 'iter_3.pth')
    assert is_sharded_state(folder)
    check_sharded_state(folder)
    assert load_common(folder)['meta']['iter'] == 3
    assert [(name, piece['start']) for name, piece in read_pieces(folder)] == [
        ('a', 0),
        ('b', 0),
        ('a', 4),
    ]
    weights = load_sharded_weights(folder)
    assert weights['a'].tolist() == [[0, 1, 2], [3, 4, 5]] and weights['b'].tolist() == [8, 9]
    assert weights['tied'].equal(weights['a']) and weights['norm.running_mean'].tolist() == [7]


@pytest.mark.parametrize(
    'pieces, words',
    [
        ((FIRST,), 'has 4 of 6 numbers'),
        ((FIRST, {'a': {'start': 5, 'weight': torch.zeros(2)}}), 'lies in no parameter'),
        ((FIRST, {'c': {'start': 0, 'weight': torch.zeros(2)}}), 'lies in no parameter'),
        ((FIRST, {'a': {'start': '4', 'weight': torch.zeros(2)}}), 'expected a piece'),
        ((FIRST, {'a': 3}), 'expected a piece'),
    ],
)
def test_pieces_that_do_not_cover_the_parameters_are_an_error(tmp_path, pieces, words):
    folder = write(tmp_path / 'iter_3.pth', pieces)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_sharded_weights(folder)
    assert 'iter_3.pth' in str(caught.value)


def test_a_folder_is_known_by_its_files(tmp_path):
    assert not is_sharded_state(tmp_path)
    # DeepSpeed's own has neither of the two names.
    (tmp_path / 'mp_rank_00_model_states.pt').touch()
    assert not is_sharded_state(tmp_path)
    folder = write(tmp_path / 'iter_3.pth')
    (folder / 'manifest.json').unlink()
    # Not whole, but ours: the error is about what it lacks.
    assert is_sharded_state(folder)
    with pytest.raises(CheckpointError, match='incomplete'):
        check_sharded_state(folder)


@pytest.mark.parametrize('name', ['common.pth', 'rank_00000.pth', 'rank_00001.pth'])
def test_files_that_are_gone_cut_or_changed_are_named(tmp_path, name):
    folder = write(tmp_path / 'iter_3.pth')
    content = (folder / name).read_bytes()
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    for damaged in (content[:-1], bytes(changed), None):
        if damaged is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=name):
            check_sharded_state(folder)


@pytest.mark.parametrize(
    'text',
    [
        'no json',
        '[]',
        '{"format": "other", "files": {}}',
        '{"format": "flmm-sharded-state-1", "files": {"../x": {"size": 1, "sha256": "0"}}}',
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path, text):
    folder = write(tmp_path / 'iter_3.pth')
    (folder / 'manifest.json').write_text(text)
    with pytest.raises(CheckpointError, match='manifest'):
        load_common(folder)


def test_a_manifest_never_leads_out_of_its_folder(tmp_path):
    folder = write(tmp_path / 'iter_3.pth')
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['files']['../outside.pth'] = manifest['files'].pop('rank_00001.pth')
    (folder / 'rank_00001.pth').rename(tmp_path / 'outside.pth')
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match='manifest'):
        load_sharded_weights(folder)


def test_code_in_a_share_never_runs(tmp_path, canary):
    folder = write(tmp_path / 'iter_3.pth', (FIRST, {'a': {'start': 4, 'weight': canary}}))
    with pytest.raises(UnsafeFileError, match='rank_00001'):
        load_sharded_weights(folder)
    assert not canary.path.exists()


def test_a_failed_write_leaves_the_folder_before_as_it_was(tmp_path, monkeypatch):
    folder = write(tmp_path / 'iter_3.pth')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(sharded_checkpoint, 'save_with_checksum', full)
    with pytest.raises(CheckpointWriteError, match='process 0: .*No space left'):
        save_sharded_state(folder, common(), FIRST, rank=0)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert find_latest_training_state(tmp_path) == folder
    assert [path.name for path in tmp_path.iterdir()] == ['iter_3.pth']
