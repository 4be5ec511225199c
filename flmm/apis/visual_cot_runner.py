"""The work behind ``tools/visual_cot.py``."""

from __future__ import annotations

import dataclasses
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from flmm.apis.config import load_config
from flmm.apis.evaluate import print_metrics
from flmm.apis.grounding_inferencer import GroundingInferencer
from flmm.apis.judge import Judge
from flmm.apis.provenance import data_hashes, machine, text_hash, versions, weight_hashes
from flmm.apis.visual_cot import VisualCoT
from flmm.apis.visual_cot_evaluation import (
    answer_questions,
    judged_score,
    offline_scores,
    write_results,
)
from flmm.datasets.transforms import LoadImage, PrepareRefinerPixels
from flmm.datasets.viscot import VisCoTDataset


def run_visual_cot(args: Namespace, confirm: Callable[[str], bool]) -> dict[str, float]:
    """Answer a set, score it, write ``answers_MODE.jsonl`` and ``results_MODE.json``.

    The offline scores are written before a judge is asked: its failure loses nothing.

    Args:
        args: As ``tools/visual_cot.py`` reads them.
        confirm: Asked with the judge's cost before anything is sent.

    Returns:
        Flat metrics in percent, ``viscot/<key>``.

    Raises:
        FLMMError: A file is not what it should be, or the judge failed.
    """
    started = time.time()
    work_dir = args.work_dir or Path('work_dirs/visual_cot')
    judge = _build_judge(args, work_dir)
    dataset = VisCoTDataset(str(args.questions), str(args.image_root), [LoadImage()])
    config = load_config(args.config, args.cfg_options)
    inferencer = GroundingInferencer(config, args.checkpoint, args.device)
    chain = VisualCoT(
        inferencer.model,
        inferencer.processor,
        prepare=_refiner_step(inferencer),
        images=args.images,
        box_scale=args.box_scale,
    )
    record = _record(args, config, chain)
    answers = work_dir / f'answers_{args.mode}.jsonl'
    # Not the whole record: where the checkpoint lies or who judges changes no answer.
    depends_on = [record['protocol'], config.model, list(record['weights'].values())]
    depends_on += [list(record['data'].values()), str(args.image_root)]
    entries = answer_questions(
        chain, dataset, args.mode, answers, args.limit, text_hash(depends_on)
    )
    metrics = offline_scores(entries)
    record['wall_seconds'] = round(time.time() - started, 2)
    results = work_dir / f'results_{args.mode}.json'
    write_results(results, metrics, entries, record)
    if judge is not None:
        metrics['judge'], scores = judged_score(entries, judge, confirm)
        entries = [{**entry, 'judge': score} for entry, score in zip(entries, scores, strict=True)]
        record['judge'] = {'model': args.judge_model, 'url': args.judge_url}
        record['wall_seconds'] = round(time.time() - started, 2)
        write_results(results, metrics, entries, record)
    flat = {f'viscot/{key}': value for key, value in metrics.items()}
    print_metrics(flat, title=f'{args.questions.stem}, {args.mode}')
    return flat


def _build_judge(args: Namespace, work_dir: Path) -> Judge | None:
    """The judge that the arguments name, before any work is done: its address may be none."""
    if not args.judge_url:
        return None
    return Judge(
        args.judge_url,
        args.judge_model,
        args.judge_key_env,
        work_dir / 'judge_cache.jsonl',
        price_in=args.price_in,
        price_out=args.price_out,
    )


def _record(args: Namespace, config: Config, chain: VisualCoT) -> dict[str, Any]:
    """Protocol and origin of the answers, as in ``results.json`` of ``tools/test.py``."""
    return {
        'protocol': {
            'mode': args.mode,
            'images': args.images,
            'box_scale': args.box_scale,
            'think_tokens': chain.think_tokens,
            'answer_tokens': chain.answer_tokens,
            'prompts': dataclasses.asdict(chain.prompts),
            'skipped': 'count as wrong',
        },
        'checkpoint': str(args.checkpoint),
        'questions': str(args.questions),
        'config': {'file': str(args.config), 'hash': text_hash(config.pretty_text)},
        'weights': weight_hashes(config.model, args.checkpoint),
        'data': data_hashes(str(args.questions)),
        'versions': versions(),
        'machine': machine(),
    }


def _refiner_step(inferencer: GroundingInferencer) -> Callable:
    """The pipeline's step that prepares the refiner's pixels; nothing without a refiner."""
    steps = [step for step in inferencer.pipeline if isinstance(step, PrepareRefinerPixels)]
    return steps[0] if steps else lambda sample: sample
