"""Look at a dataset of a config: a gallery with masks, regions, maps, questions and words drawn.

Of a dataset of several parts the first samples of each are shown, N in all.

Examples:
  python tools/browse_dataset.py CONFIG
  python tools/browse_dataset.py CONFIG --split res_val --limit 100 --out /tmp/look
  python tools/browse_dataset.py configs/gpt4roi/gpt4roi_llava_1_5_7b_stage2.py --part vcr_all
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
    add('--split', default='train', help='train, val, or a test task (default: train)')
    add('--limit', type=int, default=24, metavar='N', help='number of samples (default: 24)')
    add('--part', metavar='NAME', help='only this part of a dataset of several parts')
    add('--out', type=Path, metavar='DIR', help='default: work_dirs/browse/CONFIG_SPLIT')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Write the gallery, return the exit status."""
    args = parse_args(argv)
    # After parsing: --help need not wait for torch and mmdet.
    from flmm.apis.browse import browse

    try:
        path, count = browse(
            args.config, args.split, args.limit, args.out, args.cfg_options, args.part
        )
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    drawn = f'{count["shown"]} samples drawn, {count["skipped"]} skipped, of {count["total"]}'
    print(f'{drawn}: {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
