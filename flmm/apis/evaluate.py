"""Score a checkpoint on the test sets of its config."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from rich.console import Console
from rich.table import Table

from flmm.apis.config import load_config
from flmm.engine.checkpoint import load_trainable
from flmm.engine.hooks.gallery_hook import GalleryHook
from flmm.engine.loops import MultiTaskTestLoop
from flmm.engine.runner import FLMMRunner
from flmm.evaluation.table import format_score, tabulate_metrics
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import write_json

# What of a training's hooks also makes sense in a test.
_TEST_HOOKS = ('runtime_info', 'timer', 'logger', 'sampler_seed')


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    work_dir: str | Path | None = None,
    show_dir: str | Path | None = None,
    out: str | Path | None = None,
    cfg_options: Sequence[str] = (),
    launcher: str = 'none',
) -> dict[str, float]:
    """Run the test tasks of a config and write ``metrics.json`` into the work dir.

    Args:
        config: Config file or object.
        checkpoint: What training saved (the trainable part); None scores the untrained heads.
        tasks: Names of tasks in ``test_dataloader``; None for those in ``test_cfg``, or all.
        limit: Only the first samples of each task.
        work_dir: For logs and results; by default the config's, or ``work_dirs/<its name>``.
        show_dir: Write a gallery of predictions here.
        out: Write the full record here too: metrics, protocol, what was skipped, and counts per
            sample.
        cfg_options: ``key=value`` overrides of the config.
        launcher: mmengine's: ``none``, ``pytorch``, ``slurm``, ``mpi``.

    Returns:
        Flat metrics, such as ``{'res/ciou': 81.2, 'coarse/res/ciou': 60.3}``; scores in percent,
        nan where there was nothing to score.

    Raises:
        FLMMError: A file is missing or not what it should be, or there is no such task.
    """
    cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
    if not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
        raise FLMMError(
            f'{cfg.filename or "The config"} has no test_dataloader and test_evaluator, expected '
            'one of each per task.'
        )
    if checkpoint is not None and not Path(checkpoint).exists():
        raise FLMMError(f'{checkpoint}: no such checkpoint. Train first: tools/train.py.')
    tasks = tasks or (cfg.get('test_cfg') or {}).get('tasks')
    runner = _build_runner(cfg, tasks, limit, work_dir, show_dir, launcher)
    if checkpoint is not None:
        runner.logger.info(f'{checkpoint}: {load_trainable(runner.bare_model, checkpoint)}')
    metrics = runner.test()
    if is_main_process():
        names = {'config': str(cfg.filename or ''), 'checkpoint': str(checkpoint or '')}
        write_json(Path(runner.work_dir) / 'metrics.json', plain(metrics))
        if out is not None:
            record = {**names, 'metrics': metrics, 'tasks': runner.test_loop.records}
            write_json(out, plain(record))
        print_metrics(metrics, title=Path(names['config']).stem)
    return metrics


def _build_runner(
    cfg: Config,
    tasks: Sequence[str] | None,
    limit: int | None,
    work_dir: str | Path | None,
    show_dir: str | Path | None,
    launcher: str,
) -> FLMMRunner:
    """A runner that can only test; the caller's config stays as it is."""
    name = Path(cfg.filename).stem if cfg.filename else 'evaluation'
    configured = cfg.get('default_hooks') or {}
    hooks = {key: configured[key] for key in _TEST_HOOKS if key in configured}
    title = f'Predictions of {name}'
    gallery = [dict(type=GalleryHook, folder=str(show_dir), title=title)] if show_dir else []
    return FLMMRunner(
        model=cfg.model,
        work_dir=str(work_dir or cfg.get('work_dir') or Path('work_dirs') / name),
        test_dataloader=cfg.test_dataloader,
        test_evaluator=cfg.test_evaluator,
        test_cfg=dict(type=MultiTaskTestLoop, tasks=list(tasks) if tasks else None, limit=limit),
        default_hooks={**hooks, 'checkpoint': None, 'param_scheduler': None},
        custom_hooks=gallery,
        launcher=launcher,
        env_cfg=cfg.get('env_cfg', dict(dist_cfg=dict(backend='nccl'))),
        log_level=cfg.get('log_level', 'INFO'),
        randomness=cfg.get('randomness', dict(seed=0)),
        default_scope=cfg.get('default_scope', 'flmm'),
        experiment_name=f'{name}_test',
        cfg=cfg,
    )


def print_metrics(metrics: dict[str, float], title: str = '') -> None:
    """Print flat metrics as one table, a column per kind of mask."""
    table = tabulate_metrics(metrics)
    shown = Table(title=title or None, title_justify='left')
    shown.add_column('')
    for column in table.columns:
        shown.add_column(column, justify='right')
    for name, values in table.rows:
        shown.add_row(name, *(format_score(value) for value in values))
    Console().print(shown)


def plain(value: Any) -> Any:
    """Make a record fit for JSON: nan and infinities become null, tuples lists."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
