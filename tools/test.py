"""Score a checkpoint on the test sets of its config.

Examples:
  python tools/test.py CONFIG work_dirs/run/epoch_8.pth
  python tools/test.py CONFIG CHECKPOINT --task png_val --limit 100 --show-dir gallery
  python tools/test.py CONFIG CHECKPOINT --out results.json --cfg-options randomness.seed=1
  torchrun --nproc-per-node 8 tools/test.py CONFIG CHECKPOINT --launcher pytorch
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
    add('checkpoint', type=Path, help='what training saved, or an official checkpoint')
    add('--work-dir', type=Path, help="logs and metrics.json; by default the config's")
    add('--out', type=Path, metavar='FILE', help='full record as JSON: protocol, counts per sample')
    add('--show-dir', type=Path, metavar='DIR', help='write a gallery of predictions')
    add('--task', type=_names, metavar='A,B', help='tasks of the config; by default all')
    add('--limit', type=_positive, metavar='N', help='only the first N samples of each task')
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


def main(argv: list[str] | None = None) -> int:
    """Evaluate, return the exit status."""
    args = parse_args(argv)
    # After parsing: --help need not wait for torch and mmdet.
    from flmm.apis.evaluate import evaluate

    try:
        evaluate(
            args.config,
            args.checkpoint,
            tasks=args.task,
            limit=args.limit,
            work_dir=args.work_dir,
            show_dir=args.show_dir,
            out=args.out,
            cfg_options=args.cfg_options,
            launcher=args.launcher,
        )
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
