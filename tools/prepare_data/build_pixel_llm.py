r"""Make the annotation files of PixelLLM's training from the public ones, step by step.

What is complete is not made again, so the same command goes on after an interruption; `verify`
compares everything that was written with its checksum.

Examples:
  build_pixel_llm.py narratives data/coco/annotations coco_train_localized_narratives-*.jsonl \
      --images data/coco/train2017
  build_pixel_llm.py mdetr data/mdetr_annotations final_mixed_train.json
  build_pixel_llm.py uninext data/uninext instances.json --source flickr
  build_pixel_llm.py genome data/visual_genome region_descriptions.json image_data.json \
      densecap_splits.json
  build_pixel_llm.py records data/release_vg train.tfrecord-*       TFRecords of the release
  build_pixel_llm.py verify data/visual_genome
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

from flmm.apis import prepare
from flmm.utils.errors import FLMMError

KINDS = ('narratives', 'mdetr', 'uninext', 'genome', 'records', 'verify')


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('kind', choices=KINDS)
    parser.add_argument('out', type=Path, help='folder to fill')
    parser.add_argument('sources', nargs='*', type=Path, help='public files, or TFRecords')
    parser.add_argument('--images', help='narratives: leave out those without their image here')
    parser.add_argument(
        '--file-name',
        default='{image_id:0>12}.jpg',
        help='narratives: how images are called (Flickr30k: {image_id}.jpg)',
    )
    parser.add_argument('--source', default='', help='uninext: source of objects that name none')
    parser.add_argument('--quiet', action='store_true', help='no progress bars')
    args = parser.parse_args(argv)
    wanted = {'genome': (3, 3), 'verify': (0, 0)}.get(args.kind, (1, 10**6))
    if not wanted[0] <= len(args.sources) <= wanted[1]:
        parser.error(f'{args.kind} takes {wanted[0]} source files, got {len(args.sources)}')
    try:
        return _verify(args) if args.kind == 'verify' else _build(args)
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def _verify(args: argparse.Namespace) -> int:
    if not args.out.is_dir():
        raise FLMMError(f'{args.out}: no such folder.')
    bad = prepare.BuildFolder(args.out, args.quiet).verify()
    for file in bad:
        print(f'changed or missing: {args.out / file}', file=sys.stderr)
    said = f'{len(bad)} files are not' if bad else 'all files are'
    print(f'{args.out}: {said} as they were written')
    return 1 if bad else 0


def _place(source: Path) -> str:
    """What tells files of one name apart: UNINEXT calls all of its files ``instances.json``."""
    return '_' + hashlib.sha256(str(source.absolute()).encode()).hexdigest()[:8]


def _build(args: argparse.Namespace) -> int:
    folder = prepare.BuildFolder(args.out, args.quiet)

    def run(name, inputs, make, place='', **options):
        name = re.sub(r'[^\w.-]', '_', name)
        summary = folder.step(name + place, inputs, make, options)
        print(f'{name}: {json.dumps(summary)}')

    if args.kind == 'genome':
        run('genome', args.sources, lambda out: prepare.genome_splits(*args.sources, out))
        return 0
    files = prepare.RecordFiles(lambda items: folder.bar(items, unit='image'))
    makers = {
        'narratives': lambda source, out: prepare.check_narratives(
            source, out, args.images, args.file_name, lambda items: folder.bar(items, unit='line')
        ),
        'mdetr': prepare.split_by_source,
        'uninext': lambda source, out: prepare.uninext_as_mdetr(source, out, args.source),
        'records': files.convert,
    }
    for source in args.sources:
        run(
            f'{args.kind}_{source.name}',
            [source],
            lambda out, source=source: makers[args.kind](source, out),
            place=_place(source),
            images=args.images,
            file_name=args.file_name,
            source=args.source,
        )
    if args.kind == 'records':
        parts = [args.out / 'parts' / f'{source.name}.jsonl' for source in args.sources]
        run('merge', parts, lambda out: prepare.merge_parts(parts, out))
    return 0


if __name__ == '__main__':
    sys.exit(main())
