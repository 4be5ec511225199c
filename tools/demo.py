"""Train and evaluate F-LMM on the built-in toy world: what `make demo` runs."""

import argparse
import os
import sys
from pathlib import Path

_EXAMPLES = """examples:
  python tools/demo.py                       # everything under work_dirs/demo/
  python tools/demo.py --work-dir /tmp/demo
Run again after an interruption: finished steps are kept, training resumes.
"""


def main(argv=None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--work-dir', default='work_dirs/demo', help='where results are written')
    args = parser.parse_args(argv)
    # The configs name data and checkpoints relative to the repository.
    work_dir = Path(args.work_dir).resolve()
    os.chdir(Path(__file__).resolve().parents[1])
    from flmm.apis.toy_demo import ToyDemo
    from flmm.utils.errors import FLMMError

    if work_dir.is_relative_to(Path.cwd()):
        work_dir = work_dir.relative_to(Path.cwd())
    try:
        ToyDemo(work_dir).run()
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted; run it again to go on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
