"""Print a config as it is after its bases and overrides are merged.

Examples:
  python tools/print_config.py configs/toy/f_lmm_tiny_llava_png_refcoco.py
  python tools/print_config.py CONFIG --cfg-options optim_wrapper.optimizer.lr=3e-4
"""

from __future__ import annotations

import argparse
import sys

from flmm.apis.config import load_config
from flmm.utils.errors import FLMMError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override values of the config',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Print the config, return the exit status."""
    args = parse_args(argv)
    try:
        print(load_config(args.config, args.cfg_options).pretty_text)
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
