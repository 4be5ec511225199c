"""Print the shapes that pass between the stages of a config, read off a run."""

import argparse
import sys

_EXAMPLES = """examples:
  python tools/trace_shapes.py configs/toy/f_lmm_tiny_llava_png_refcoco.py
"""


def main(argv=None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a grounding experiment')
    parser.add_argument('--num-samples', type=int, default=2, help='samples in the batch')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    from flmm.apis.config import load_config
    from flmm.apis.trace import markdown_table, trace_shapes
    from flmm.utils.errors import FLMMError

    try:
        config = load_config(args.config, args.cfg_options)
        print(markdown_table(trace_shapes(config, args.num_samples)))
    except (FLMMError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
