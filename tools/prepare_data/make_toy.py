"""Write the toy world in the real file formats of COCO, PNG, RefCOCO/+/g and LLaVA.

Examples:
    python tools/prepare_data/make_toy.py data/toy
    python tools/prepare_data/make_toy.py data/toy_small --num-train 50 --num-val 20
    python tools/prepare_data/make_toy.py data/toy_talk --formats llava --num-talk 40000

The same settings give the same files; a folder that holds them already is left alone.
"""

from __future__ import annotations

import argparse
import sys

from flmm.datasets.toy.build import WRITERS, ToyDataError, ToySettings, build_toy_world


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    defaults = ToySettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', help='output folder, e.g. data/toy')
    parser.add_argument('--seed', type=int, default=defaults.seed)
    parser.add_argument('--num-train', type=int, default=defaults.num_train)
    parser.add_argument('--num-val', type=int, default=defaults.num_val,
                        help='scenes of val, and as many again of the test splits')  # fmt: skip
    parser.add_argument('--num-talk', type=int, default=defaults.num_talk,
                        help='scenes with LLaVA conversations (format llava)')  # fmt: skip
    parser.add_argument('--formats', nargs='+', choices=list(WRITERS),
                        default=list(defaults.formats))  # fmt: skip
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    args = parser.parse_args(arguments)
    settings = ToySettings(
        args.seed, args.num_train, args.num_val, args.num_talk, tuple(args.formats)
    )
    try:
        written = build_toy_world(args.out, settings, quiet=args.quiet)
    except ToyDataError as error:
        print(f'make_toy: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {"written" if written else "already complete"}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
