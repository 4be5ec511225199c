"""Loops: how a runner goes through test sets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from flmm.engine.skip_counter import SkipCounter
from flmm.evaluation.metrics import MaskMetric
from flmm.registry import DATASETS, LOOPS
from flmm.utils.errors import FLMMError


@LOOPS.register_module()
class MultiTaskTestLoop(BaseLoop):
    """Score one model on several test sets, each with metrics of its own.

    Config::

        test_dataloader = dict(png_val=<dataloader>, res_val=<dataloader>)
        test_evaluator = dict(png_val=[<metric>, ...], res_val=[<metric>, ...])
        test_cfg = dict(type=MultiTaskTestLoop)

    The runner's test hooks see one test epoch over all tasks; ``runner.test_dataloader`` is that
    of the task in progress, ``task`` its name.

    Args:
        runner: The runner.
        dataloader: Dataloaders, or their configs, by task.
        evaluator: Configs of the metrics by task.
        tasks: Names of the tasks to run; None for all.
        limit: Only the first samples of each task; None for all.

    Attributes:
        task: Name of the task in progress.
        records: After ``run``: by task its dataset's protocol, the metrics' protocols, notes and
            entries, and what was skipped; plain containers.

    Raises:
        FLMMError: An unknown task, or two metrics that would write the same keys.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, DataLoader | dict],
        evaluator: Mapping[str, Sequence[dict]],
        tasks: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> None:
        self.tasks = _chosen_tasks(dataloader, evaluator, tasks)
        self.evaluators: dict[str, Evaluator] = {
            task: runner.build_evaluator(evaluator[task]) for task in self.tasks
        }
        _check_prefixes(self.evaluators)
        self.dataloaders = {
            task: _build_dataloader(runner, dataloader[task], limit) for task in self.tasks
        }
        super().__init__(runner, self.dataloaders[self.tasks[0]])
        self.task = self.tasks[0]
        self.records: dict[str, dict[str, Any]] = {}

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Run every task and return the flat metrics of all."""
        runner = self.runner
        runner.call_hook('before_test')
        runner.call_hook('before_test_epoch')
        runner.model.eval()
        metrics: dict[str, float] = {}
        self.records = {}
        for task in self.tasks:
            metrics |= self._run_task(task)
        runner.call_hook('after_test_epoch', metrics=metrics)
        runner.call_hook('after_test')
        return metrics

    def _run_task(self, task: str) -> dict[str, float]:
        self.task, self.dataloader = task, self.dataloaders[task]
        evaluator, counter, started = self.evaluators[task], SkipCounter(), time.monotonic()
        # disable=None: no bar where the output is a file; the logger hook writes there.
        bar = tqdm(
            self.dataloader, desc=task, leave=False, disable=None if is_main_process() else True
        )
        shown = started
        for index, data_batch in enumerate(bar):
            self._run_batch(index, data_batch, evaluator)
            counter.add(data_batch)
            if not bar.disable and time.monotonic() > shown + 1:
                bar.set_postfix(_running(evaluator), refresh=False)
                shown = time.monotonic()
        dataset = self.dataloader.dataset
        metrics = evaluator.evaluate(len(dataset))
        counter = counter.gather()
        if counter.skipped or counter.dropped:
            self.runner.logger.warning(f'{task}: {counter.sentence()}')
        self.records[task] = {
            'num_samples': len(dataset),
            'seconds': round(time.monotonic() - started, 2),
            'dataset': _metainfo(dataset),
            **counter.counts(),
            'metrics': {m.prefix: _record(m) for m in evaluator.metrics},
        }
        return metrics

    def _run_batch(self, index: int, data_batch: Any, evaluator: Evaluator) -> None:
        call = self.runner.call_hook
        call('before_test_iter', batch_idx=index, data_batch=data_batch)
        outputs = self.runner.model.test_step(data_batch)
        evaluator.process(data_samples=outputs, data_batch=data_batch)
        call('after_test_iter', batch_idx=index, data_batch=data_batch, outputs=outputs)


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


def _build_dataloader(
    runner: Runner, dataloader: DataLoader | dict, limit: int | None
) -> DataLoader:
    if limit is not None and isinstance(dataloader, Mapping):
        dataset = dataloader['dataset']
        if isinstance(dataset, Mapping):
            dataset = DATASETS.build(dataset)
        subset = Subset(dataset, range(min(limit, len(dataset))))
        dataloader = {**dataloader, 'dataset': subset}
    return runner.build_dataloader(dataloader, seed=runner.seed)


def _metainfo(dataset: Any) -> dict[str, Any]:
    if isinstance(dataset, Subset):
        return {**_metainfo(dataset.dataset), 'limit': len(dataset)}
    return dict(getattr(dataset, 'metainfo', {}))


def _record(metric: Any) -> dict[str, Any]:
    if not isinstance(metric, MaskMetric):
        return {}
    return {'protocol': metric.protocol(), 'notes': metric.notes, 'entries': metric.entries}


def _running(evaluator: Evaluator) -> dict[str, str]:
    return {
        f'{metric.prefix}/{metric.headline}': f'{metric.running():.1f}'
        for metric in evaluator.metrics
        if isinstance(metric, MaskMetric)
    }
