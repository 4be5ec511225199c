r"""Score a file of answers to a visual question answering benchmark, offline.

Examples:
  python tools/score_vqa.py pope data/pope answers.jsonl
  python tools/score_vqa.py mmvet data/mm-vet/mm-vet.json answers.json \
      --judge-url http://localhost:8000/v1 --judge-model NAME

Answers are matched by id; gaps count as wrong and are reported, of repeated ids the first counts.
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
    add('benchmark', help='pope, mme, gqa, scienceqa, textvqa, mmbench, ...')
    add('ann_file', type=Path, help="the benchmark's official file or folder")
    add('predictions', type=Path, help='.json or .jsonl with ids and texts')
    add('--all-questions', action='store_true', help='also those without an image')
    add('--out', type=Path, metavar='FILE', help='write the scores here too')
    add('--judge-url', metavar='URL', help='of a judge: MM-Vet, MathVista, MMBench')
    add('--judge-model', metavar='NAME', default='', help='its name there')
    add('--judge-cache', type=Path, metavar='FILE', help='keep replies that are paid for')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Score, print, return the exit status."""
    args = parse_args(argv)
    from flmm.apis.score_vqa import score_file
    from flmm.evaluation.sample_record import plain
    from flmm.utils.safe_io import write_json

    try:
        judge = None
        if args.judge_url:
            from flmm.apis.judge import Judge

            judge = Judge(args.judge_url, args.judge_model, cache=args.judge_cache)
        result = score_file(
            args.benchmark, args.ann_file, args.predictions, not args.all_questions, judge
        )
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for name, value in {**result['metrics'], **result['matching']}.items():
        shown = f'{value:.2f}' if isinstance(value, float) else value
        print(f'{name:<40} {shown}')
    for name, reason in result['notes'].items():
        print(f'{name} is nan: {reason}.')
    if result['missing']:
        print(f'no answer to: {", ".join(result["missing"])} ...')
    if args.out:
        write_json(args.out, plain(result))  # JSON has no nan
    return 0


if __name__ == '__main__':
    sys.exit(main())
