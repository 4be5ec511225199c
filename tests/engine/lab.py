"""Real trainings in real processes, started by tests; reads jobs as JSON lines, prints results.

Everything is imported once; every process of a job is a fork of this one, so a training of a few
steps costs a fraction of a second. A job is a dict:

- `world`: processes; `strategy`: `none`, `ddp` or `zero1` to `zero3`; `model`: see `lab_models`;
- `steps`, `batch` (of one process), `workers`, `accumulation`, `interval`, `dropout`, ...;
- `work_dir`; `resume`: true, or a checkpoint;
- `kill_step`: SIGKILL of all processes after the step with this number;
- `kill_event`: SIGKILL of the first process at this event (see `Events`) inside of saving;
- `poison_step`: after it the second process has a NaN in its float32 weights;
- `disk_bytes`: writing more than so many bytes in all fails as on a full disk;
- `call`: no training, but the function of this name in `lab_layers`, in each process.

The result has `codes` (exit codes), `error` (of the first process that failed), `losses` (by
step), `digest` (SHA-256 of the final trainable weights), `events`, `seconds`; of a `call`
`returned`, what it gave in each process.
"""

import faulthandler
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import torch

FORK = multiprocessing.get_context('fork')
#: Seconds that a job may take; more are needed on a machine that is busy with other work.
PATIENCE = float(os.environ.get('FLMM_LAB_SECONDS', 300))


class Events:
    """Counts what is done to files while a checkpoint is saved; may kill or fail at one of them."""

    def __init__(self, kill_at=None, disk_bytes=None):
        self.count, self.kill_at, self.inside = 0, kill_at, False
        self.left = disk_bytes

    def tick(self):
        if self.inside:
            if self.kill_at is not None and self.count == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1

    def install(self):
        from flmm.engine.checksum import _Hashing
        from flmm.engine.hooks.checkpoint_hook import AtomicCheckpointHook

        events = self
        save = AtomicCheckpointHook._save_checkpoint

        def counted_save(hook, runner):
            events.inside = True
            save(hook, runner)
            events.tick()
            events.inside = False

        AtomicCheckpointHook._save_checkpoint = counted_save
        put = _Hashing._put

        def counted_put(file, content):
            # Half of it is on disk when the kill comes.
            half = len(content) // 2
            for part in (content[:half], content[half:]):
                if events.left is not None:
                    events.left -= len(part)
                    if events.left < 0:
                        raise OSError(28, 'No space left on device')
                put(file, part)
                file.file.flush()
                events.tick()

        _Hashing._put = counted_put
        for name in ('fsync', 'replace', 'unlink', 'rmdir', 'mkdir'):
            original = getattr(os, name)

            def counted(*args, _original=original, **kwargs):
                events.tick()
                result = _original(*args, **kwargs)
                events.tick()
                return result

            setattr(os, name, counted)


def build_runner(job, rank):
    from lab_models import config_of

    from flmm.engine.flexible_runner import FLMMFlexibleRunner
    from flmm.engine.runner import FLMMRunner

    cfg = config_of(job)
    cfg.launcher = 'pytorch' if job.get('world', 1) > 1 else 'none'
    kind = FLMMFlexibleRunner if job['strategy'].startswith('zero') else FLMMRunner
    return kind.from_cfg(cfg)


def train(job, rank, connection):
    result = {}
    # Loggers are numerous and slow; the tests read files and results.
    logging.disable(logging.CRITICAL if not job.get('verbose') else logging.NOTSET)
    sink = open(f'{job["work_dir"]}.rank{rank}.txt', 'w')
    os.dup2(sink.fileno(), 1)
    os.dup2(sink.fileno(), 2)
    torch.set_num_threads(1)
    # Where it hangs, if it does.
    faulthandler.dump_traceback_later(max(job.get('timeout', PATIENCE) - 5, 1), file=sink)
    try:
        if 'call' in job:
            import lab_layers

            connection.send({'returned': getattr(lab_layers, job['call'])()})
            os._exit(0)
        from mmengine.hooks import Hook

        events = Events(job.get('kill_event') if rank == 0 else None, job.get('disk_bytes'))
        if job.get('watch') or 'kill_event' in job or 'disk_bytes' in job:
            events.install()
        runner = build_runner(job, rank)
        losses = {}

        class Recorder(Hook):
            priority = 'LOWEST'

            def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
                step = runner.iter + 1
                losses[step] = float(outputs['loss'])
                line = json.dumps([rank, step, losses[step], data_batch.get('ids', [])])
                with open(f'{job["work_dir"]}.log', 'a') as file:
                    file.write(line + '\n')
                if job.get('poison_step') == step and rank == 1:
                    zero = runner.strategy.model.optimizer
                    zero.single_partition_of_fp32_groups[0].data[0] = float('nan')
                if job.get('kill_step') == step and rank == job.get('kill_rank', rank):
                    os.kill(os.getpid(), signal.SIGKILL)

        runner.register_hook(Recorder())
        runner.train()
        result = {'losses': losses, 'events': events.count, 'digest': digest(runner)}
    except BaseException as error:
        import traceback

        traceback.print_exc()
        result = {'error': f'{type(error).__name__}: {error}'}
    connection.send(result)
    connection.close()
    sink.flush()
    # Not sys.exit: what the parent has registered to run at its end is the parent's.
    os._exit(1 if 'error' in result else 0)


def digest(runner):
    from contextlib import nullcontext

    from flmm.engine.checkpoint import trainable_parameter_names

    model = runner.bare_model
    parameters = [p for p in model.parameters() if p.requires_grad]
    context = nullcontext()
    if hasattr(parameters[0], 'ds_id'):
        import deepspeed

        context = deepspeed.zero.GatheredParameters(parameters)
    with context:
        hashed = hashlib.sha256()
        state = model.state_dict()
        for name in sorted(trainable_parameter_names(model)):
            hashed.update(state[name].detach().float().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def free_port():
    with socket.socket() as opened:
        opened.bind(('127.0.0.1', 0))
        return opened.getsockname()[1]


def run_job(job):
    Path(job['work_dir']).parent.mkdir(parents=True, exist_ok=True)
    world, began = job.get('world', 1), time.monotonic()
    port, started = free_port(), []
    for rank in range(world):
        os.environ.update(
            RANK=str(rank),
            WORLD_SIZE=str(world),
            LOCAL_RANK=str(rank),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port),
        )
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(target=train, args=(job, rank, sender))
        process.start()
        sender.close()
        started.append((process, receiver))
    results, deadline = {}, began + job.get('timeout', PATIENCE)
    while any(process.is_alive() for process, _ in started):
        for rank, (_, receiver) in enumerate(started):
            if rank not in results and receiver.poll(0.01):
                try:
                    results[rank] = receiver.recv()
                except EOFError:
                    results[rank] = {}
        dead = any(p.exitcode not in (None, 0) for p, _ in started)
        if dead or time.monotonic() > deadline:
            # As torchrun does: the others cannot go on.
            time.sleep(job.get('patience', 0.2))
            for process, _ in started:
                if process.is_alive():
                    process.kill()
    for rank, (process, receiver) in enumerate(started):
        process.join()
        if rank not in results and receiver.poll():
            try:
                results[rank] = receiver.recv()
            except EOFError:
                pass
    answer = dict(results.get(0, {}))
    errors = [r['error'] for r in results.values() if 'error' in r]
    answer['error'] = errors[0] if errors else None
    answer['codes'] = [process.exitcode for process, _ in started]
    if 'call' in job:
        answer['returned'] = [results.get(rank, {}).get('returned') for rank in range(world)]
    answer['seconds'] = round(time.monotonic() - began, 2)
    return answer


def main():
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    # Imported once, for all forks.
    import deepspeed  # noqa: F401
    import deepspeed.runtime.zero.stage3  # noqa: F401
    import lab_models  # noqa: F401

    import flmm.engine.flexible_runner
    import flmm.engine.strategy  # noqa: F401
    from flmm import registry

    for kind in vars(registry).values():
        if isinstance(kind, registry.Registry):
            kind.import_from_location()
    print('ready', flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if job.get('clear'):
            shutil.rmtree(job['clear'], ignore_errors=True)
            print('{}', flush=True)
        else:
            print(json.dumps(run_job(job)), flush=True)


if __name__ == '__main__':
    main()
