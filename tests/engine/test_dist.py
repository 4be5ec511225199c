import pytest
import torch.distributed as torch_dist

from flmm.engine.dist import (
    agree_on_least,
    cpu_environment,
    gather_plain,
    init_distributed,
    on_first,
    restart_count,
    share_plain,
    store_of_attempt,
)
from flmm.utils.errors import FLMMError


def test_one_process_needs_no_group():
    init_distributed('none')
    assert not torch_dist.is_initialized()
    assert gather_plain({'a': 1}) == [{'a': 1}] and share_plain('x') == 'x'
    assert on_first(lambda: 3) == 3 and agree_on_least(5) == 5


def test_an_error_of_the_first_process_is_raised():
    def fail():
        raise FLMMError('no')

    with pytest.raises(FLMMError, match='no'):
        on_first(fail)


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi', 'horovod'])
def test_a_launcher_that_did_not_launch_is_named(launcher, monkeypatch):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FLMMError, match=launcher):
        init_distributed(launcher)


def test_variables_of_slurm_and_open_mpi_become_those_of_torch():
    slurm = {'SLURM_PROCID': '3', 'SLURM_NTASKS': '8', 'SLURM_LOCALID': '1'}
    assert cpu_environment('slurm', {**slurm, 'SLURM_LAUNCH_NODE_IPADDR': '10.0.0.7'}) == {
        'RANK': '3',
        'WORLD_SIZE': '8',
        'LOCAL_RANK': '1',
        'MASTER_ADDR': '10.0.0.7',
        'MASTER_PORT': '29500',
    }
    names = ('RANK', 'SIZE', 'LOCAL_RANK')
    mpi = {f'OMPI_COMM_WORLD_{name}': str(i) for i, name in enumerate(names)}
    found = cpu_environment('mpi', {**mpi, 'MASTER_ADDR': 'head', 'MASTER_PORT': '1234'})
    assert (found['RANK'], found['WORLD_SIZE'], found['LOCAL_RANK']) == ('0', '1', '2')
    assert (found['MASTER_ADDR'], found['MASTER_PORT']) == ('head', '1234')


def test_attempts_that_share_a_store_of_torchrun_are_told_apart(monkeypatch):
    agent = {'TORCHELASTIC_USE_AGENT_STORE': 'True', 'TORCHELASTIC_RESTART_COUNT': '2'}
    assert restart_count(agent) == 2
    assert restart_count({**agent, 'TORCHELASTIC_RESTART_COUNT': '0'}) == 0
    # Each attempt has a store of its own, or nobody counts.
    assert restart_count({**agent, 'TORCHELASTIC_USE_AGENT_STORE': 'False'}) == 0
    assert restart_count({}) == 0
    server = torch_dist.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    place = dict(RANK='1', WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(server.port))
    for name, value in {**agent, **place}.items():
        monkeypatch.setenv(name, value)
    server.set('address', 'of a process that has died')
    meeting = store_of_attempt(2)
    assert (meeting['rank'], meeting['world_size']) == (1, 2)
    assert not meeting['store'].check(['address'])
    meeting['store'].set('address', 'of a new one')
    assert server.get('attempt_2/address') == b'of a new one'
