"""Loops: how a runner goes through test sets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from flmm.engine.dist import gather_plain, on_first
from flmm.engine.sample_log import Line, SampleLog
from flmm.engine.skip_counter import SkipCounter
from flmm.engine.test_sets import TestSet, refuse_invalid
from flmm.evaluation.metrics import EntryMetric
from flmm.evaluation.sample_record import sample_record
from flmm.registry import LOOPS
from flmm.utils.errors import FLMMError

# The bar's scores may take this share of the time.
_SHOWING = 0.05


@LOOPS.register_module()
class MultiTaskTestLoop(BaseLoop):
    """Score one model on several test sets, each with metrics of its own.

    Config::

        test_dataloader = dict(png_val=<dataloader>, res_val=<dataloader>)
        test_evaluator = dict(png_val=[<metric>, ...], res_val=[<metric>, ...])
        test_cfg = dict(type=MultiTaskTestLoop)

    Samples are shared out by index, each to one process, whatever sampler the config names;
    results are merged by index, and a task whose merged results lack a sample is an error. The
    runner's test hooks see one test epoch over all tasks; ``runner.test_dataloader`` is that of
    the task in progress, ``task`` its name.

    Args:
        runner: The runner.
        dataloader: Dataloaders, or their configs, by task.
        evaluator: Configs of the metrics by task.
        tasks: Names of the tasks to run; None for all.
        limit: Only the first samples of each task; None for all.
        samples_dir: Write a line of results per sample here; None keeps none.
        fingerprints: Text per task that changes with all that its results depend on.
        resume: Keep the lines of an interrupted run.
        on_invalid: ``error``: stop where a file of a sample is broken, as far as possible
            before the work begins; ``skip``: count its phrases as missed.

    Attributes:
        task: Name of the task in progress.
        records: After ``run``: by task its dataset's protocol, the metrics' protocols and notes,
            time, and what was skipped; plain containers.
        lines: After ``run``, on the first process: by task one line per sample, in order.

    Raises:
        FLMMError: An unknown task, two metrics that would write the same keys, or broken data.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, DataLoader | dict],
        evaluator: Mapping[str, Sequence[dict]],
        tasks: Sequence[str] | None = None,
        limit: int | None = None,
        samples_dir: str | Path | None = None,
        fingerprints: Mapping[str, str] | None = None,
        resume: bool = False,
        on_invalid: Literal['error', 'skip'] = 'skip',
    ) -> None:
        self.tasks = _chosen_tasks(dataloader, evaluator, tasks)
        self.evaluators: dict[str, Evaluator] = {
            task: runner.build_evaluator(evaluator[task]) for task in self.tasks
        }
        _check_prefixes(self.evaluators)
        self._options = {
            metric.prefix: _plain_options(cfg)
            for task in self.tasks
            for metric, cfg in zip(self.evaluators[task].metrics, evaluator[task], strict=True)
        }
        self.test_sets = {task: TestSet.build(task, dataloader[task], limit) for task in self.tasks}
        self.on_invalid = on_invalid
        if on_invalid == 'error':
            for test_set in self.test_sets.values():
                test_set.check()
        self.log = SampleLog(samples_dir, dict(fingerprints or {}), resume)
        super().__init__(runner, None)
        self.task = self.tasks[0]
        self.records: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[Line]] = {}

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Run every task and return the flat metrics of all."""
        runner = self.runner
        runner.call_hook('before_test')
        runner.call_hook('before_test_epoch')
        runner.model.eval()
        metrics: dict[str, float] = {}
        self.records, self.lines = {}, {}
        for task in self.tasks:
            metrics |= self._run_task(task)
        runner.call_hook('after_test_epoch', metrics=metrics)
        runner.call_hook('after_test')
        return metrics

    def _run_task(self, task: str) -> dict[str, float]:
        self.task, evaluator, test_set = task, self.evaluators[task], self.test_sets[task]
        own = [metric for metric in evaluator.metrics if isinstance(metric, EntryMetric)]
        others = [metric for metric in evaluator.metrics if not isinstance(metric, EntryMetric)]
        index_of_id = test_set.index_of_id() if own else {}
        # Of a foreign metric nothing is known: its samples have to run again.
        earlier = [] if others else self.log.start(task)
        # The earlier run may have had no limit, or a higher one.
        earlier = [line for line in earlier if line['index'] < test_set.size]
        self.dataloader = test_set.loader(self.runner, {line['index'] for line in earlier})
        if is_main_process():
            for metric in own:
                metric.results.extend(line['entries'][metric.prefix] for line in earlier)
        started = time.monotonic()
        lines = self._run_batches(evaluator, own, index_of_id)
        parts = gather_plain(lines)
        seconds = time.monotonic() - started

        def conclude() -> tuple[dict[str, float], dict[str, Any]]:
            merged = {line['index']: line for part in (earlier, *parts) for line in part}
            if own:
                _check_complete(task, merged, index_of_id)
            self.lines[task] = [merged[index] for index in sorted(merged)]
            metrics = {}
            for metric in own:
                prefix = metric.prefix
                metrics |= metric.conclude(line['entries'][prefix] for line in self.lines[task])
            return metrics, self._record(task, own, len(earlier), seconds)

        metrics, record = on_first(conclude)
        self.log.finish(task, self.lines.get(task, ()))
        for metric in own:
            metric.results.clear()
        for metric in others:
            metrics |= metric.evaluate(test_set.size)
        self.records[task] = record
        return metrics

    def _run_batches(
        self, evaluator: Evaluator, own: Sequence[EntryMetric], index_of_id: Mapping[str, int]
    ) -> list[Line]:
        # disable=None: no bar where the output is a file; the logger hook writes there.
        bar = tqdm(
            self.dataloader,
            desc=self.task,
            leave=False,
            disable=None if is_main_process() else True,
        )
        lines: list[Line] = []
        next_show = time.monotonic()
        for index, data_batch in enumerate(bar):
            seen = {metric.prefix: len(metric.results) for metric in own}
            self._run_batch(index, data_batch, evaluator)
            new = {metric.prefix: metric.results[seen[metric.prefix] :] for metric in own}
            lines += (batch := _batch_lines(self.task, data_batch, new, index_of_id))
            self.log.write(batch)
            if not bar.disable and (now := time.monotonic()) > next_show:
                bar.set_postfix(_running(own), refresh=False)
                # Scores of all samples so far cost more the more there are.
                next_show = time.monotonic() + max(1.0, (time.monotonic() - now) / _SHOWING)
        return lines

    def _run_batch(self, index: int, data_batch: Any, evaluator: Evaluator) -> None:
        call = self.runner.call_hook
        if self.on_invalid == 'error' and isinstance(data_batch, Mapping):
            refuse_invalid(self.task, data_batch.get('skipped', ()))
        call('before_test_iter', batch_idx=index, data_batch=data_batch)
        outputs = self.runner.model.test_step(data_batch)
        evaluator.process(data_samples=outputs, data_batch=data_batch)
        call('after_test_iter', batch_idx=index, data_batch=data_batch, outputs=outputs)

    def _record(
        self, task: str, metrics: Sequence[EntryMetric], reused: int, seconds: float
    ) -> dict[str, Any]:
        test_set, counter = self.test_sets[task], SkipCounter()
        for line in self.lines[task]:
            if line['skipped']:
                counter.skipped[line['id']] = (line['skipped'], line.get('detail', ''))
            if line.get('dropped'):
                counter.dropped[line['id']] = [tuple(pair) for pair in line['dropped']]
        if counter.skipped or counter.dropped:
            self.runner.logger.warning(f'{task}: {counter.sentence()}')
        return {
            'num_samples': test_set.size,
            'num_reused': reused,
            'seconds': round(seconds, 2),
            'samples_per_second': round((test_set.size - reused) / max(seconds, 1e-9), 3),
            'dataset': test_set.metainfo,
            **counter.counts(),
            'metrics': {
                metric.prefix: {
                    'type': type(metric).__name__,
                    'options': self._options[metric.prefix],
                    'protocol': metric.protocol(),
                    'notes': metric.notes,
                }
                for metric in metrics
            },
        }


def _chosen_tasks(
    dataloader: Mapping[str, Any], evaluator: Mapping[str, Any], tasks: Sequence[str] | None
) -> list[str]:
    if set(dataloader) != set(evaluator):
        raise FLMMError(
            'test_dataloader and test_evaluator must name the same tasks, got '
            f'{sorted(dataloader)} and {sorted(evaluator)}.'
        )
    unknown = [task for task in tasks or () if task not in dataloader]
    if unknown or not dataloader:
        raise FLMMError(
            f'Unknown test task {", ".join(unknown) or "(none given)"}; the config has '
            f'{", ".join(dataloader) or "none"}.'
        )
    return list(tasks) if tasks else list(dataloader)


def _plain_options(cfg: Any) -> dict[str, Any]:
    """Options of a metric from which it can be built again to score its entries."""
    if not isinstance(cfg, Mapping):
        return {}
    kinds = (str, int, float, bool)
    return {k: v for k, v in cfg.items() if k not in ('type', 'prefix') and type(v) in kinds}


def _check_prefixes(evaluators: Mapping[str, Evaluator]) -> None:
    """Fail before the work, not after it: flat metrics of all tasks share one dict."""
    owner: dict[str | None, str] = {}
    for task, evaluator in evaluators.items():
        for metric in evaluator.metrics:
            if metric.prefix in owner:
                raise FLMMError(
                    f'Metrics of tasks {owner[metric.prefix]} and {task} both have the prefix '
                    f"{metric.prefix!r}. Give one a prefix of its own, such as 'testA/res'."
                )
            owner[metric.prefix] = task


def _check_complete(task: str, lines: Mapping[int, Line], index_of_id: Mapping[str, int]) -> None:
    missing = [name for name, index in index_of_id.items() if index not in lines]
    if missing:
        raise FLMMError(
            f'{len(missing)} of {len(index_of_id)} samples of task {task} got no result, first '
            f'{missing[0]!r}. The system must predict every sample of its batch.'
        )


def _batch_lines(
    task: str,
    data_batch: Any,
    new_entries: Mapping[str, Sequence[dict]],
    index_of_id: Mapping[str, int],
) -> list[Line]:
    """A line per sample: what it is, and the entry of each metric."""
    batch = data_batch if isinstance(data_batch, Mapping) else {}
    samples = (*batch.get('samples', ()), *batch.get('skipped', ()))
    records = {record['id']: record for record in map(sample_record, samples)}
    lines: dict[str, Line] = {}
    for prefix, entries in new_entries.items():
        for entry in entries:
            name = entry['id']
            if name not in index_of_id:
                raise FLMMError(f'Task {task} got a result for {name!r}, which it does not have.')
            if name not in lines:
                record = records.get(name, {'id': name, 'skipped': ''})
                lines[name] = {'index': index_of_id[name], **record, 'entries': {}}
            lines[name]['entries'][prefix] = entry
    return list(lines.values())


def _running(metrics: Sequence[EntryMetric]) -> dict[str, str]:
    return {f'{m.prefix}/{m.headline}': f'{m.running():.1f}' for m in metrics if m.headline}
