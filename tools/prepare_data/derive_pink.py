"""Make the annotation files of Pink's training from the public ones.

Examples:
  derive_pink.py objects365 zhiyuan_objv2_train.json boxes.json
  derive_pink.py coco instances_train2017.json boxes.json
  derive_pink.py visual_genome region_descriptions.json expressions.json
  derive_pink.py visual7w dataset_v7w_pointing.json FOLDER    train.json, val.json, test.json
  derive_pink.py pointqa_local localqa_dataset.json test.json --ids localqa_testfinal_imgs.json
  derive_pink.py pointqa_look_twice looktwiceqa_dataset.json test.json --ids ..._imgs.json
  derive_pink.py iconqa iconqa/test/choose_txt choose_txt_test.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flmm.datasets import derived_files as derive
from flmm.utils.errors import FLMMError, InputFileError
from flmm.utils.safe_io import load_json, write_json

KINDS = (
    'objects365',
    'coco',
    'visual_genome',
    'visual7w',
    'pointqa_local',
    'pointqa_look_twice',
    'iconqa',
)


def main(argv: list[str] | None = None) -> int:
    """Read, derive, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('kind', choices=KINDS)
    parser.add_argument('source', type=Path, help='public file; for iconqa a folder')
    parser.add_argument('out', type=Path, help='file to write; for visual7w a folder')
    parser.add_argument('--ids', type=Path, help='PointQA: json list of the images of a split')
    args = parser.parse_args(argv)
    if args.kind.startswith('pointqa') and args.ids is None:
        parser.error(f'{args.kind} needs --ids')
    try:
        _derive(args)
    except FLMMError as error:
        print(f'error: {args.source}: {error}', file=sys.stderr)
        return 2
    return 0


def _derive(args: argparse.Namespace) -> None:
    if args.kind == 'iconqa':
        _write(args.out, derive.iconqa_questions(_read_folders(args.source)))
        return
    content = load_json(args.source)
    if args.kind == 'visual7w':
        for split, questions in derive.visual7w_splits(content).items():
            _write(args.out / f'{split}.json', questions)
        return
    makers = {
        'objects365': lambda: derive.boxes_by_image(content, drop_prefix=10),
        'coco': lambda: derive.boxes_by_image(content),
        'visual_genome': lambda: derive.regions_as_expressions(content),
        'pointqa_local': lambda: derive.pointqa_local(content, load_json(args.ids)),
        'pointqa_look_twice': lambda: derive.pointqa_look_twice(content, load_json(args.ids)),
    }
    _write(args.out, makers[args.kind]())


def _read_folders(root: Path) -> dict:
    found = {path.parent.name: load_json(path) for path in root.glob('*/data.json')}
    if not found:
        raise InputFileError(root, 'has no folder with a data.json in it.')
    return found


def _write(path: Path, entries: list) -> None:
    write_json(path, entries, indent=None)
    print(f'{path}: {len(entries)} entries')


if __name__ == '__main__':
    sys.exit(main())
