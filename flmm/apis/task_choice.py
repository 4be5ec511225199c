"""Choosing test tasks and protocols by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args, get_origin, get_type_hints

from flmm.evaluation.vqa import JUDGED
from flmm.registry import DATASETS
from flmm.utils.errors import FLMMError

SPLITS = ('train', 'val', 'test', 'testA', 'testB')


def task_and_split(task: str, metainfo: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Split the name of a task, such as ``refcoco_testA``, into family and split.

    Args:
        task: Its name.
        metainfo: Of its dataset: tells the split where the name does not.

    Returns:
        ``('refcoco', 'testA')``; the split of ``png`` is that of its dataset, ``'all'`` where
        that joins several or has none.
    """
    family, _, split = task.rpartition('_')
    if family and split in SPLITS:
        return family, split
    metainfo = metainfo or {}
    parts = metainfo.get('parts') or [metainfo]
    splits = {part.get('split') or part.get('dataset', '').rpartition('_')[2] for part in parts}
    found = splits.pop() if len(splits) == 1 else ''
    return task, found if found in SPLITS else 'all'


def metainfo_of_config(dataset: Any) -> dict[str, Any]:
    """What a dataset's config tells of its split, as ``metainfo`` of the built one would.

    Args:
        dataset: The config, which may join others.
    """
    if not isinstance(dataset, Mapping):
        return {}
    if 'datasets' in dataset:
        return {'parts': [metainfo_of_config(part) for part in dataset['datasets']]}
    found = {'dataset': dataset.get('name'), 'split': dataset.get('split')}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def choose_tasks(
    known: Mapping[str, Mapping[str, Any]],
    names: Sequence[str] | None,
    splits: Sequence[str] | None,
) -> list[str] | None:
    """Resolve ``--task`` and ``--split``.

    Args:
        known: Tasks of the config, with metadata of their datasets.
        names: Tasks, families of tasks (``refcoco`` for ``refcoco_val``, ...), patterns
            (``refcoco*``) or ``all``; None for the config's choice, or for all where splits are
            given.
        splits: Keep tasks of these splits; a task that has none, or several, is kept if named.

    Returns:
        Names in the config's order, None for the config's choice.

    Raises:
        FLMMError: A name or split matches no task.
    """
    if not names and not splits:
        return None
    chosen: set[str] = set()
    exact = {name for name in names or () if name in known}
    for name in names or ('all',):
        found = {task for task in known if _matches(task, name)}
        if not found:
            raise FLMMError(f'Unknown test task {name}; the config has {", ".join(known)}.')
        chosen |= found
    if splits:
        split_of = {task: task_and_split(task, known[task])[1] for task in chosen}
        for split in splits:
            if split not in split_of.values():
                raise FLMMError(f'No test task of split {split} among {", ".join(sorted(chosen))}.')
        named = {task for task in exact if split_of.get(task) == 'all'}
        chosen = {task for task in chosen if task in named or split_of[task] in splits}
    return [task for task in known if task in chosen]


def _matches(task: str, name: str) -> bool:
    return name in ('all', task, task_and_split(task)[0]) or fnmatchcase(task, name)


def apply_protocol(dataloaders: Mapping[str, Any], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Set options of datasets, such as ``sentence`` and ``concat`` of RefCOCO, in all tasks.

    Args:
        dataloaders: Configs by task; not changed.
        protocol: Options; each goes to every dataset whose class takes it.

    Returns:
        New configs by task.

    Raises:
        FLMMError: No dataset takes an option, or not with this value.
    """
    unused = set(protocol)

    def changed(cfg: Any) -> Any:
        if not isinstance(cfg, Mapping):
            return cfg
        cfg = dict(cfg)
        if 'datasets' in cfg:
            cfg['datasets'] = [changed(part) for part in cfg['datasets']]
        kind = cfg.get('type')
        cls = DATASETS.get(kind) if isinstance(kind, str) else kind
        takes = inspect.signature(cls).parameters if inspect.isclass(cls) else {}
        for key, value in protocol.items():
            if key in takes:
                _check_value(cls, key, value)
                cfg[key] = value
                unused.discard(key)
        return cfg

    result = {
        task: {**loader, 'dataset': changed(loader['dataset'])}
        for task, loader in dataloaders.items()
    }
    if unused:
        raise FLMMError(
            f'No dataset of the tasks {", ".join(dataloaders)} has the protocol option '
            f'{", ".join(sorted(unused))}. RefCOCO has sentence and concat, PNG plural_as.'
        )
    return result


def _check_value(cls: type, key: str, value: Any) -> None:
    """Before any work, and also where a dataset would take any value for true."""
    hint = get_type_hints(cls.__init__).get(key)
    allowed = (True, False) if hint is bool else get_args(hint)
    if (hint is bool or get_origin(hint) is Literal) and value not in allowed:
        raise FLMMError(
            f'--protocol {key} of {cls.__name__} is one of {", ".join(map(str, allowed))}, '
            f'got {value!r}.'
        )


def apply_judge(evaluators: Mapping[str, Any], judge: Mapping[str, Any]) -> dict[str, Any]:
    """Name a judge to the metrics that ask one.

    Args:
        evaluators: Lists of metrics' configs by task; not changed.
        judge: Config of the judge.

    Returns:
        New configs by task.

    Raises:
        FLMMError: No metric asks one.
    """
    asked = False

    def changed(cfg: Any) -> Any:
        nonlocal asked
        if isinstance(cfg, Mapping) and cfg.get('benchmark') in JUDGED:
            asked = True
            return {**cfg, 'judge': dict(judge)}
        return cfg

    result = {
        task: [changed(cfg) for cfg in metrics]
        if isinstance(metrics, Sequence)
        else changed(metrics)
        for task, metrics in evaluators.items()
    }
    if not asked:
        raise FLMMError(
            f'None of the tasks {", ".join(evaluators)} asks a judge; {", ".join(JUDGED)} do.'
        )
    return result
