r"""Score a checkpoint on the test sets of its config.

Examples:
  python tools/test.py CONFIG work_dirs/run/iter_1000.pth
  python tools/test.py CONFIG CHECKPOINT --task png,refcoco --split val --limit 100
  python tools/test.py CONFIG CHECKPOINT --task all --resume
  python tools/test.py CONFIG CHECKPOINT --task refcoco --protocol sentence=all concat=False
  python tools/test.py CONFIG CHECKPOINT --show-dir gallery --out results.json
  python tools/test.py configs/vqa/llava_1_5_7b_benchmarks.py --task pope,mme
  python tools/test.py configs/vqa/llava_1_5_7b_benchmarks.py --task mmvet,mathvista,mmbench \
      --judge-url http://localhost:8000/v1 --judge-model NAME
  tools/dist_test.sh CONFIG CHECKPOINT 8 --task all

Writes results.json, metrics.json, samples/TASK.jsonl and curves/TASK.png into the work dir.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flmm.utils.errors import FLMMError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', type=Path, help='config file')
    add(
        'checkpoint',
        type=Path,
        nargs='?',
        help='what training saved, or an official checkpoint; only a model without a trainable '
        'part needs none',
    )
    add('--work-dir', type=Path, help="for all results; by default the config's")
    add('--out', type=Path, metavar='FILE', help='write results.json here too')
    add('--show', action='store_true', help='open the gallery of predictions in a browser')
    add('--show-dir', type=Path, metavar='DIR', help='write a gallery of predictions')
    add(
        '--task',
        type=_names,
        metavar='A,B',
        help="tasks, families (refcoco), patterns or 'all'; by default what the config chooses",
    )
    add('--split', type=_names, metavar='A,B', help='only tasks of these splits (val, testA, ...)')
    add('--limit', type=_positive, metavar='N', help='only the first N samples of each task')
    add('--resume', action='store_true', help='go on from what a killed run left in the work dir')
    add(
        '--skip-invalid',
        action='store_true',
        help='count samples with broken files as missed instead of stopping',
    )
    add(
        '--protocol',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='options of all data sets that take them: sentence=all concat=False plural_as=own',
    )
    add(
        '--judge-url',
        metavar='URL',
        help='OpenAI-compatible model that grades MM-Vet and reads free answers to MathVista and '
        'MMBench; every answer may cost a request',
    )
    add('--judge-model', metavar='NAME', default='', help='its name there')
    add(
        '--judge-key-env',
        metavar='VAR',
        default='OPENAI_API_KEY',
        help='environment variable with its key; none is needed where the endpoint asks none',
    )
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config')
    add('--launcher', default='none', choices=('none', 'pytorch', 'slurm', 'mpi'))
    # torchrun's predecessor passes it; nothing here reads it.
    add('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(',') if name.strip()]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be at least 1, got {value}')
    return value


def _judge(args: argparse.Namespace) -> dict | None:
    """Config of the judge that the arguments name; a wrong address fails here."""
    if not args.judge_url:
        return None
    from flmm.apis.judge import Judge

    named = dict(base_url=args.judge_url, model=args.judge_model, api_key_env=args.judge_key_env)
    Judge(**named)
    return dict(type=Judge, **named)


def main(argv: list[str] | None = None) -> int:
    """Evaluate, return the exit status."""
    args = parse_args(argv)
    # After parsing: --help need not wait for torch and mmdet.
    from flmm.apis.config import parse_options
    from flmm.apis.evaluate import evaluate

    try:
        protocol = parse_options(args.protocol, '--protocol')
        parse_options(args.cfg_options)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    try:
        evaluate(
            args.config,
            args.checkpoint,
            tasks=args.task,
            splits=args.split,
            limit=args.limit,
            protocol=protocol,
            resume=args.resume,
            skip_invalid=args.skip_invalid,
            work_dir=args.work_dir,
            out=args.out,
            show_dir=args.show_dir,
            show=args.show,
            cfg_options=args.cfg_options,
            launcher=args.launcher,
            judge=_judge(args),
            needs_checkpoint=True,
        )
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
