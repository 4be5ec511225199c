"""Process groups that also work without a GPU, and what travels over them."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_dist_info, init_dist

from flmm.utils.errors import FLMMError

# What each launcher tells a process: rank, world size, rank on its machine.
_VARIABLES: dict[str, tuple[str, str, str]] = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}

# Processes meet only at the end of a task, some much later than others; one that died is noticed
# at once all the same, as its connections close.
_PATIENCE = datetime.timedelta(hours=24)

_duty: Callable[[], None] | None = None


def init_distributed(launcher: str, backend: str = 'nccl', **kwargs: Any) -> None:
    """Join the process group that a launcher made; nothing happens for ``none``, or twice.

    mmengine's ``init_dist`` asks for a GPU whatever the backend is; without one, the group is
    made here, with gloo.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi`` (Open MPI).
        backend: For machines with GPUs.
        kwargs: Further arguments of mmengine's ``init_dist``, such as ``timeout`` in seconds.

    Raises:
        FLMMError: The launcher's environment variables are missing.
    """
    if launcher == 'none' or torch_dist.is_initialized():
        return
    if launcher not in _VARIABLES:
        raise FLMMError(f'Unknown launcher {launcher!r}, expected none or {", ".join(_VARIABLES)}.')
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise FLMMError(
            f'--launcher {launcher} expects {", ".join(missing)} in the environment. Start with '
            'tools/dist_test.sh or tools/slurm_test.sh, or leave out --launcher.'
        )
    if torch.cuda.is_available():
        if (attempt := restart_count(os.environ)) and launcher == 'pytorch':
            kwargs |= store_of_attempt(attempt)
        init_dist(launcher, backend=backend, **kwargs)
        if torch_dist.get_backend() != 'gloo':
            # Now, while the processes are in step: making a group waits for all of them.
            _new_cpu_group()
        return
    os.environ.update(cpu_environment(launcher, os.environ))
    meeting = store_of_attempt(attempt) if (attempt := restart_count(os.environ)) else {}
    torch_dist.init_process_group('gloo', timeout=_PATIENCE, **meeting)


def restart_count(environment: Mapping[str, str]) -> int:
    """How often torchrun has started these processes again in a store that it keeps open.

    Args:
        environment: Usually ``os.environ``.
    """
    if environment.get('TORCHELASTIC_USE_AGENT_STORE') != 'True':
        return 0
    return int(environment.get('TORCHELASTIC_RESTART_COUNT', 0))


def store_of_attempt(attempt: int) -> dict[str, Any]:
    """Where the processes of one attempt meet, as arguments of ``init_process_group``.

    torchrun with a fixed master address has one store for all attempts, in which the addresses of
    the processes that have died still stand: new ones would be refused there.

    Args:
        attempt: From :func:`restart_count`.
    """
    store, rank, world_size = next(torch_dist.rendezvous('env://', timeout=_PATIENCE))
    own = torch_dist.PrefixStore(f'attempt_{attempt}', store)
    return {'store': own, 'rank': rank, 'world_size': world_size}


def cpu_environment(launcher: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that torch needs, from those of a launcher.

    Args:
        launcher: ``pytorch``, ``slurm`` or ``mpi``.
        environment: Usually ``os.environ``.

    Returns:
        ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``; the last
        two as they are set, or the first machine of a slurm job (``localhost`` else) and 29500.
    """
    values = (environment[name] for name in _VARIABLES[launcher])
    found = dict(zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), values, strict=True))
    first = environment.get('SLURM_LAUNCH_NODE_IPADDR', '') if launcher == 'slurm' else ''
    found['MASTER_ADDR'] = environment.get('MASTER_ADDR') or first or 'localhost'
    found['MASTER_PORT'] = environment.get('MASTER_PORT') or '29500'
    return found


def before_meeting(duty: Callable[[], None] | None) -> None:
    """Have something done whenever this process is about to exchange results with the others.

    Args:
        duty: Called before each exchange of this module's; takes the place of an earlier one.
    """
    global _duty
    _duty = duty


def agree_on_least(number: int) -> int:
    """The least of the numbers of all processes.

    Args:
        number: Of this process, a 64-bit integer.
    """
    if get_dist_info()[1] == 1:
        return number
    least = torch.tensor(number, dtype=torch.int64)
    torch_dist.all_reduce(least, torch_dist.ReduceOp.MIN, group=_cpu_group())
    return int(least)


def gather_plain(content: Any) -> list[Any] | None:
    """Collect plain objects (counts, run lengths, texts) of all processes on the first one.

    They travel through the CPU: NCCL would put them on the GPUs.

    Args:
        content: What this process has.

    Returns:
        One object per process, in order of rank; None on all but the first.
    """
    rank, world_size = get_dist_info()
    if world_size == 1:
        return [content]
    _do_duty()
    received: list[Any] | None = [None] * world_size if rank == 0 else None
    torch_dist.gather_object(content, received, dst=0, group=_cpu_group())
    return received


def share_plain(content: Any) -> Any:
    """Give all processes what the first one has.

    Args:
        content: Read on the first process only.
    """
    if get_dist_info()[1] == 1:
        return content
    _do_duty()
    box = [content]
    torch_dist.broadcast_object_list(box, src=0, group=_cpu_group())
    return box[0]


def on_first(function: Callable[[], Any]) -> Any:
    """Run something on the first process and give its result, or its error, to all.

    An error of one process alone would leave the others waiting.

    Args:
        function: Called on the first process only.

    Raises:
        FLMMError: What the function raised.
    """
    result, problem = None, None
    if get_dist_info()[0] == 0:
        try:
            result = function()
        except FLMMError as error:
            problem = error
    result, problem = share_plain((result, problem))
    if problem is not None:
        raise problem
    return result


def _do_duty() -> None:
    if _duty is not None:
        _duty()


def _cpu_group() -> torch_dist.ProcessGroup | None:
    if torch_dist.get_backend() == 'gloo':
        return None
    return _new_cpu_group()


@functools.lru_cache(maxsize=1)
def _new_cpu_group() -> torch_dist.ProcessGroup:
    return torch_dist.new_group(backend='gloo', timeout=_PATIENCE)
