r"""Compare the captions that tools/bootstrap.py kept with all that it generated.

For data whose objects have true captions: a caption is right if it names at least one of the
words given, and no other of its kind than the true caption does.

Example:
  python tools/score_bootstrap.py work_dirs/bootstrap data/toy_pink/visual_genome/val.json \
      --kind color red green blue yellow purple white \
      --kind shape circle square triangle star ring cross --all work_dirs/bootstrap/all.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from flmm.utils.errors import FLMMError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('out', type=Path, help='the --out of tools/bootstrap.py')
    add('truths', type=Path, help='annotations with id and caption, in COCO layout')
    add('--kind', nargs='+', action='append', required=True, metavar='NAME WORD',
        help='a kind of words that exclude each other; may be given several times')  # fmt: skip
    add('--iou', type=float, default=0.5, help='least overlap of the box found again')
    add('--all', type=Path, metavar='FILE', help='write all captions as a training file')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Score, print, return the exit status."""
    args = parse_args(argv)
    from flmm.apis.caption_precision import (
        caption_precision,
        read_generated,
        read_truths,
        unfiltered,
    )
    from flmm.engine.atomic_write import write_atomically

    kinds = {name: words for name, *words in args.kind}
    try:
        records = read_generated(args.out)
        scores = caption_precision(records, read_truths(args.truths), kinds, args.iou)
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for name, value in scores.items():
        print(f'{name}: {value:.4g}')
    if args.all:
        lines = [json.dumps(record, ensure_ascii=False) + '\n' for record in unfiltered(records)]
        content = ''.join(lines).encode()
        write_atomically(args.all, lambda file: file.write(content))
    return 0


if __name__ == '__main__':
    sys.exit(main())
