"""Re-run recorded cases of the official codes through flmm and compare every number.

Examples:
  python tools/check_golden.py goldens/f_lmm/G_metrics    one case
  python tools/check_golden.py goldens --json report.json a tree of cases, and a report

Exit status: 0 all within tolerance, 1 something is not, 2 nothing could be checked.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path

from flmm.apis.golden import GoldenFolder, check_tree
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import write_json


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='a recorded case or a tree of them')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the results here too')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Check, print, return the exit status."""
    args = parse_args(argv)
    checked = []
    try:
        for item in check_tree(args.folder):
            checked.append(item)
            _print(item, args.folder)
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    results = [result for item in checked for result in item.results]
    failed = sum(not result.passed for result in results)
    if not results:
        print(
            f'error: {args.folder} holds nothing that a handler of flmm recognises. '
            'Is it a folder of recorded cases?',
            file=sys.stderr,
        )
    elif failed:
        print(f'FAIL {failed}/{len(results)}')
    else:
        print(f'PASS {len(results)}/{len(results)}')
    if args.json:
        write_json(args.json, _report(checked, failed, len(results)))
    return 2 if not results else int(bool(failed))


def _print(item: GoldenFolder, root: Path) -> None:
    name = item.path.name if item.path == root else item.path.relative_to(root)
    if not item.covered:
        print(f'not covered yet: {name} ({item.kind})', flush=True)
        return
    print(f'{name} ({item.kind})')
    for result in item.results:
        print(f'  {result.line()}', flush=True)


def _report(checked: list[GoldenFolder], failed: int, total: int) -> dict:
    folders = [
        {
            'folder': str(item.path),
            'kind': item.kind,
            'covered': item.covered,
            'results': [_plain(dataclasses.asdict(result)) for result in item.results],
        }
        for item in checked
    ]
    return {'passed': total - failed, 'failed': failed, 'total': total, 'folders': folders}


def _plain(record: dict) -> dict:
    """JSON has no nan and no infinity: null, and the note says why."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }


if __name__ == '__main__':
    sys.exit(main())
