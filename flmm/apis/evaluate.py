"""Score a checkpoint on the test sets of its config."""

from __future__ import annotations

import itertools
import os
import time
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from rich.console import Console
from rich.table import Table
from torch import nn

from flmm.apis.config import load_config
from flmm.apis.provenance import data_hashes, machine, text_hash, versions, weight_hashes
from flmm.apis.task_choice import (
    apply_judge,
    apply_protocol,
    choose_tasks,
    metainfo_of_config,
    task_and_split,
)
from flmm.engine.checkpoint import load_trainable, trainable_parameter_names
from flmm.engine.dist import init_distributed, on_first
from flmm.engine.evaluation_runner import EvaluationRunner
from flmm.engine.hooks.gallery_hook import GalleryHook
from flmm.engine.loops import MultiTaskTestLoop
from flmm.evaluation.plots import draw_task_curves
from flmm.evaluation.sample_record import plain
from flmm.evaluation.table import format_score, tabulate_metrics
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import write_json

# What of a training's hooks also makes sense in a test.
_TEST_HOOKS = ('runtime_info', 'timer', 'logger', 'sampler_seed')

# mmengine keeps one log per experiment and second; evaluations in one process are several.
_RUNS = itertools.count(1)


@dataclass
class EvaluationOptions:
    """What to evaluate and where to write it.

    Attributes:
        tasks: Tasks, families (``refcoco``), patterns (``ref*``) or ``all``; None for those in
            ``test_cfg``, or all.
        splits: Only tasks of these splits.
        limit: Only the first samples of each task.
        protocol: Options for every dataset that takes them, such as ``{'sentence': 'all'}``.
        resume: Go on from what an interrupted run left in the work dir.
        skip_invalid: Count samples with broken files as missed instead of stopping.
        work_dir: For logs and results; by default the config's, or ``work_dirs/<its name>``.
        out: Write ``results.json`` here too.
        show_dir: Write a gallery of predictions here.
        show: Open the gallery in a browser at the end.
        launcher: mmengine's: ``none``, ``pytorch``, ``slurm``, ``mpi``.
        judge: Config of a language model that grades or reads answers where a benchmark asks one;
            its replies are kept in the work dir.
        needs_checkpoint: Refuse to score a model with a trainable part that was not loaded.
    """

    tasks: Sequence[str] | None = None
    splits: Sequence[str] | None = None
    limit: int | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    skip_invalid: bool = False
    work_dir: str | Path | None = None
    out: str | Path | None = None
    show_dir: str | Path | None = None
    show: bool = False
    launcher: str = 'none'
    judge: Mapping[str, Any] | None = None
    needs_checkpoint: bool = False


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    *,
    cfg_options: Sequence[str] = (),
    **options: Any,
) -> dict[str, float]:
    """Run test tasks of a config on one loaded model.

    Writes into the work dir: ``results.json`` (metrics by task and split, protocol, config,
    hashes, versions, time), ``metrics.json`` (flat), ``samples/<task>.jsonl`` (a line per
    sample) and ``curves/<task>.png`` (recall curves).

    Args:
        config: Config file or object; the object stays as it is.
        checkpoint: What training saved (the trainable part); None scores the untrained heads.
        cfg_options: ``key=value`` overrides of the config.
        options: Fields of ``EvaluationOptions``.

    Returns:
        Flat metrics, such as ``{'res/ciou': 81.2, 'coarse/res/ciou': 60.3}``; scores in percent,
        nan where there was nothing to score.

    Raises:
        FLMMError: A file is missing or not what it should be, or there is no such task.
    """
    chosen, started = EvaluationOptions(**options), time.time()
    cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
    if not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
        raise FLMMError(
            f'{cfg.filename or "The config"} has no test_dataloader and test_evaluator, expected '
            'one of each per task.'
        )
    if checkpoint is not None and not Path(checkpoint).exists():
        raise FLMMError(f'{checkpoint}: no such checkpoint. Train first: tools/train.py.')
    env_cfg = cfg.get('env_cfg') or dict(dist_cfg=dict(backend='nccl'))
    init_distributed(chosen.launcher, **env_cfg.get('dist_cfg', {}))
    name = Path(cfg.filename).stem if cfg.filename else 'evaluation'
    work_dir = Path(chosen.work_dir or cfg.get('work_dir') or Path('work_dirs') / name)
    tasks = _tasks(cfg, chosen)
    loaders = apply_protocol({task: cfg.test_dataloader[task] for task in tasks}, chosen.protocol)
    sources = on_first(lambda: _sources(cfg, checkpoint, loaders))
    if chosen.show and chosen.show_dir is None:
        chosen.show_dir = work_dir / 'gallery'
    runner = _build_runner(cfg, name, work_dir, loaders, chosen, sources['fingerprints'])
    if checkpoint is None and chosen.needs_checkpoint:
        _refuse_untrained(runner.bare_model)
    if checkpoint is not None:
        runner.logger.info(f'{checkpoint}: {load_trainable(runner.bare_model, checkpoint)}')
    metrics = runner.test()
    if is_main_process():
        record = {
            'metrics': nested_metrics(runner.test_loop.records, metrics),
            'checkpoint': str(checkpoint or ''),
            'config': {
                'file': str(cfg.filename or ''),
                'hash': text_hash(cfg.pretty_text),
                'text': cfg.pretty_text,
            },
            'protocol': dict(chosen.protocol),
            'judge': _public(chosen.judge),
            'weights': sources['weights'],
            'data': sources['data'],
            'versions': versions(),
            'machine': machine(),
            'started': time.strftime('%Y-%m-%dT%H:%M:%S%z', time.localtime(started)),
            'wall_seconds': round(time.time() - started, 2),
            'tasks': runner.test_loop.records,
        }
        _write(record, metrics, work_dir, chosen)
        draw_task_curves(work_dir / 'curves', runner.test_loop.records, runner.test_loop.lines)
        print_metrics(metrics, title=name)
        if chosen.show:
            webbrowser.open((Path(chosen.show_dir) / 'index.html').resolve().as_uri())
    return metrics


def _tasks(cfg: Config, chosen: EvaluationOptions) -> list[str]:
    known = {
        task: metainfo_of_config(loader.get('dataset'))
        for task, loader in cfg.test_dataloader.items()
    }
    return (
        choose_tasks(known, chosen.tasks, chosen.splits)
        or list((cfg.get('test_cfg') or {}).get('tasks') or ())
        or list(known)
    )


def _refuse_untrained(model: nn.Module) -> None:
    trained = trainable_parameter_names(model)
    if trained:
        raise FLMMError(
            f'The model has {len(trained)} trainable tensors ({sorted(trained)[0]}, ...), and no '
            'checkpoint was given: random heads would be scored. Name the checkpoint after the '
            'config.'
        )


def _sources(cfg: Config, checkpoint: Any, loaders: Mapping[str, Any]) -> dict[str, Any]:
    """Hashes of weights and data, and per task what its results depend on."""
    weights = weight_hashes(cfg.model, checkpoint)
    data = {task: data_hashes(loader['dataset']) for task, loader in loaders.items()}
    fingerprints = {
        task: text_hash(
            [cfg.model, weights, loader['dataset'], data[task], cfg.test_evaluator.get(task)]
        )
        for task, loader in loaders.items()
    }
    return {'weights': weights, 'data': data, 'fingerprints': fingerprints}


def _build_runner(
    cfg: Config,
    name: str,
    work_dir: Path,
    loaders: Mapping[str, Any],
    chosen: EvaluationOptions,
    fingerprints: Mapping[str, str],
) -> EvaluationRunner:
    """A runner that can only test; the caller's config stays as it is."""
    configured = cfg.get('default_hooks') or {}
    hooks = {key: configured[key] for key in _TEST_HOOKS if key in configured}
    gallery = []
    if chosen.show_dir is not None:
        title = f'Predictions of {name}'
        gallery = [dict(type=GalleryHook, folder=str(chosen.show_dir), title=title)]
    return EvaluationRunner(
        model=cfg.model,
        work_dir=str(work_dir),
        test_dataloader=dict(loaders),
        test_evaluator=_evaluators(cfg, loaders, work_dir, chosen.judge),
        test_cfg=dict(
            type=MultiTaskTestLoop,
            limit=chosen.limit,
            samples_dir=str(work_dir / 'samples'),
            fingerprints=dict(fingerprints),
            resume=chosen.resume,
            on_invalid='skip' if chosen.skip_invalid else 'error',
        ),
        default_hooks={**hooks, 'checkpoint': None, 'param_scheduler': None},
        custom_hooks=gallery,
        launcher=chosen.launcher,
        env_cfg=cfg.get('env_cfg', dict(dist_cfg=dict(backend='nccl'))),
        log_level=cfg.get('log_level', 'INFO'),
        randomness=cfg.get('randomness', dict(seed=0)),
        default_scope=cfg.get('default_scope', 'flmm'),
        experiment_name=f'{name}_test_{next(_RUNS)}',
        cfg=cfg,
    )


def _evaluators(
    cfg: Config, loaders: Mapping[str, Any], work_dir: Path, judge: Mapping[str, Any] | None
) -> dict[str, Any]:
    missing = [task for task in loaders if task not in cfg.test_evaluator]
    if missing:
        raise FLMMError(f'test_evaluator has no metrics for the tasks {", ".join(missing)}.')
    found = {task: cfg.test_evaluator[task] for task in loaders}
    if judge is None:
        return found
    return apply_judge(found, {'cache': str(work_dir / 'judge_cache.jsonl'), **judge})


def _public(judge: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a result file tells of a judge."""
    return judge and {key: judge[key] for key in ('model', 'base_url') if key in judge}


def _write(
    record: dict[str, Any], metrics: Mapping[str, float], work_dir: Path, chosen: EvaluationOptions
) -> None:
    write_json(work_dir / 'metrics.json', plain(dict(metrics)))
    for path in (work_dir / 'results.json', *([Path(chosen.out)] if chosen.out else [])):
        for task, part in record['tasks'].items():
            part['samples'] = os.path.relpath(work_dir / 'samples' / f'{task}.jsonl', path.parent)
        write_json(path, plain(record))


def nested_metrics(
    records: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Sort flat metrics by task, split and kind of mask.

    Args:
        records: What the test loop noted of each task.
        metrics: Flat, ``<prefix>/<key>``.

    Returns:
        ``{task: {split: {variant: {key: value}}}}``, where the variant is ``final`` or what
        comes before the last part of a metric's prefix (``coarse``); metrics of one task that
        would share a variant go by their whole prefix.
    """
    nested: dict[str, Any] = {}
    for task, record in records.items():
        family, split = task_and_split(task, record['dataset'])
        place = nested.setdefault(family, {}).setdefault(split, {})
        prefixes = list(record['metrics'])
        variants = [prefix.rpartition('/')[0] or 'final' for prefix in prefixes]
        for prefix, variant in zip(prefixes, variants, strict=True):
            place[variant if variants.count(variant) == 1 else prefix] = {
                key.removeprefix(f'{prefix}/'): value
                for key, value in metrics.items()
                if key.rpartition('/')[0] == prefix
            }
    return nested


def print_metrics(metrics: Mapping[str, float], title: str = '') -> None:
    """Print flat metrics as one table, a column per kind of mask."""
    table = tabulate_metrics(metrics)
    shown = Table(title=title or None, title_justify='left')
    shown.add_column('')
    for column in table.columns:
        shown.add_column(column, justify='right')
    for name, values in table.rows:
        shown.add_row(name, *(format_score(value) for value in values))
    Console().print(shown)
