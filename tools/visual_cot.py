r"""Answer a VisCoT set by a visual chain of thought and score the answers.

Modes: v1 think, ground, crop, answer; v2 ground the question, crop, answer; v3 answer at once.
Exact match, ANLS and the IoU of the crop with the evidence box are always computed; a judge
(any OpenAI-compatible endpoint) scores too where --judge-url is given.

Examples:
  python tools/visual_cot.py CONFIG CHECKPOINT data/toy_tasks/viscot/toy_val.json \
      --image-root data/toy_tasks/viscot --mode v1
  python tools/visual_cot.py CONFIG CHECKPOINT gqa.json --image-root data --mode v2 \
      --judge-url http://localhost:8000/v1 --judge-model NAME --price-in 0.5 --price-out 1.5 --yes
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
    add('config', type=Path, help='config file of a grounding system')
    add('checkpoint', type=Path, help='what its training saved')
    add('questions', type=Path, help='json set in the format of VisCoT')
    add('--image-root', type=Path, required=True, help='folder of its images')
    add('--mode', choices=('v1', 'v2', 'v3'), default='v1')
    add('--images', choices=('several', 'side_by_side', 'crop'), default='several',
        help='how the LMM sees the crop')  # fmt: skip
    add('--box-scale', type=float, default=1.5, help="the crop's sides over the mask's")
    add('--work-dir', type=Path, help='answers and results; by default work_dirs/visual_cot')
    add('--limit', type=_positive, metavar='N', help='only the first N questions')
    add('--device', help='for example cuda:0')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    judge = parser.add_argument_group('judge')
    judge.add_argument('--judge-url', metavar='URL', help='address up to /v1')
    judge.add_argument('--judge-model', metavar='NAME')
    judge.add_argument('--judge-key-env', default='OPENAI_API_KEY', metavar='VARIABLE',
                       help='environment variable that holds the key')  # fmt: skip
    judge.add_argument('--price-in', type=float, help='price of a million input tokens')
    judge.add_argument('--price-out', type=float, help='price of a million output tokens')
    judge.add_argument('--yes', action='store_true', help='do not ask before paying')
    args = parser.parse_args(argv)
    if args.judge_url and not args.judge_model:
        parser.error('--judge-url needs --judge-model')
    return args


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be at least 1, got {value}')
    return value


def main(argv: list[str] | None = None) -> int:
    """Answer and score; returns the exit status."""
    args = parse_args(argv)
    # After parsing: --help need not wait for torch.
    from flmm.apis.visual_cot_runner import run_visual_cot

    try:
        run_visual_cot(args, confirm=lambda cost: args.yes or _ask(cost))
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def _ask(cost: str) -> bool:
    if not sys.stdin.isatty():
        print(f'The judge would take {cost}; run again with --yes.', file=sys.stderr)
        return False
    return input(f'The judge will take {cost}. Go on? [y/N] ').strip().lower() == 'y'


if __name__ == '__main__':
    sys.exit(main())
