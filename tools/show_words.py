"""Draw where the words of a caption point, one after the other: PNG strip, GIF and HTML page.

For the systems with a point head (WordLocation on any LMM, PixelLLM).
"""

import argparse
import sys

_EXAMPLES = """examples:
  # sample 3 of a test task, as predicted and as annotated
  python tools/show_words.py configs/toy/word_location_tiny_llava.py CHECKPOINT --index 3
  python tools/show_words.py configs/toy/word_location_tiny_llava.py --truth --task traces
  # an image and a text of your own; PixelLLM writes the text itself
  python tools/show_words.py CONFIG CHECKPOINT --image photo.jpg --text "a dog beside a tree"
"""


def main(argv=None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of WordLocation or PixelLLM')
    parser.add_argument('checkpoint', nargs='?', help='its checkpoint; not needed with --truth')
    parser.add_argument('--image', help='image file; default: a sample of the tests')
    parser.add_argument('--text', help='what is said of the image')
    parser.add_argument('--task', help='test task of the sample; default: the first')
    parser.add_argument('--index', type=int, default=0, help='of the sample within the task')
    parser.add_argument('--truth', action='store_true', help='draw the annotated traces')
    parser.add_argument('--out-dir', default='work_dirs/words', help='for the files')
    parser.add_argument('--device', help="for example 'cpu' or 'cuda:1'; default: GPU if any")
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    # Imported after the arguments are read, so that --help answers at once.
    from flmm.apis.show_words import show_words
    from flmm.utils.errors import FLMMError

    try:
        paths = show_words(
            args.config,
            args.checkpoint,
            image=args.image,
            text=args.text,
            task=args.task,
            index=args.index,
            truth=args.truth,
            out_dir=args.out_dir,
            device=args.device,
            cfg_options=args.cfg_options,
        )
    except (FLMMError, IndexError) as error:
        print(f'show_words: {error}', file=sys.stderr)
        return 1
    for path in paths:
        print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
