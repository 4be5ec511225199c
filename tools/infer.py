"""Ground the phrases of a text in an image file and draw the masks."""

import argparse
import sys
from pathlib import Path

_EXAMPLES = """examples:
  # ground the noun phrases that flmm finds in the text
  python tools/infer.py CONFIG CHECKPOINT photo.jpg --text "a red circle left of a blue square"
  # mark the phrases by hand
  python tools/infer.py CONFIG CHECKPOINT photo.jpg --text "[a red circle] on the grass"
  # let the LMM describe the image, then ground its words
  python tools/infer.py CONFIG CHECKPOINT photo.jpg --out-dir work_dirs/infer
"""


def parse_args(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the experiment')
    parser.add_argument('checkpoint', help='what its training saved, or an official checkpoint')
    parser.add_argument('image', nargs='+', help='image files')
    parser.add_argument('--text', help='what to ground; without it the LMM describes the image')
    parser.add_argument('--out-dir', default='work_dirs/infer', help='for pictures and masks')
    parser.add_argument('--device', help="for example 'cpu' or 'cuda:1'; default: GPU if any")
    parser.add_argument('--max-new-tokens', type=int, default=64, help='for descriptions')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Run; return the exit status."""
    args = parse_args(argv)
    # Imported after the arguments are read, so that --help answers at once.
    from flmm.apis.infer import ground_files
    from flmm.utils.errors import FLMMError

    try:
        ground_files(
            args.config,
            args.checkpoint,
            args.image,
            text=args.text,
            out_dir=Path(args.out_dir),
            device=args.device,
            max_new_tokens=args.max_new_tokens,
            cfg_options=args.cfg_options,
        )
    except (FLMMError, FileNotFoundError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
