r"""Ask a trained GPT4RoI about regions of an image, in several turns.

Examples:
    python tools/ask_regions.py configs/toy/gpt4roi_tiny_llava_stage2.py work_dirs/gpt4roi.pth \
        picture.jpg --box 10 20 60 70 --box 80 20 120 60 \
        --ask "What can be seen in <region1>?" --ask "And in <region2>?"
    python tools/ask_regions.py configs/toy/gpt4roi_tiny_llava_shapes_stage2.py \
        work_dirs/shapes.pth picture.jpg --mask dog.png --point 40 50 --scribble 10 20 15 30 22 28 \
        --ask "What are <region1>, <region2> and <region3>?"

Regions are numbered in the order in which they are given. Masks, points and scribbles need a model
that was trained with them.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from flmm.apis.config import load_config
from flmm.apis.region_inferencer import RegionInferencer
from flmm.structures import Region
from flmm.utils.errors import FLMMError
from flmm.utils.safe_io import open_image


class _Add(argparse.Action):
    """Notes kind and value of a region, all kinds in one list: their order is their numbers."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        kind = option.removeprefix('--')
        if kind in ('point', 'scribble') and len(values) % 2:
            raise argparse.ArgumentError(self, f'expected pairs X Y, got {len(values)} numbers')
        namespace.regions = [*namespace.regions, (kind, values)]


def make_region(kind: str, values: Any) -> Region:
    """A region as the command line gives it.

    Args:
        kind: ``box``, ``mask``, ``point`` or ``scribble``.
        values: Numbers in pixels, or the file of a mask.
    """
    if kind == 'box':
        return Region(tuple(values))
    if kind == 'mask':
        return Region(mask=np.asarray(open_image(values, exif=True).convert('L')) > 127)
    points = tuple(zip(values[::2], values[1::2], strict=True))
    return Region(points=points, joined=kind == 'scribble')


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the experiment')
    parser.add_argument('checkpoint', help='what its training saved')
    parser.add_argument('image', help='image file')
    add = parser.add_argument_group('regions, in pixels; the first is <region1>').add_argument
    corners = ('X0', 'Y0', 'X1', 'Y1')
    add('--box', nargs=4, type=float, action=_Add, dest='regions', default=[], metavar=corners)
    add('--mask', action=_Add, dest='regions', metavar='FILE',
        help='an image as large as the other one, bright where the region is')  # fmt: skip
    numbers = dict(nargs='+', type=float, action=_Add, dest='regions')
    add('--point', metavar='X Y', help='one or more points of one object', **numbers)
    add('--scribble', metavar='X Y', help='corners of a free-form stroke', **numbers)
    parser.add_argument('--ask', action='append', required=True, help='a question; in order')
    parser.add_argument('--device', help='for example cuda:0')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    try:
        inferencer = RegionInferencer(
            load_config(args.config, args.cfg_options), args.checkpoint, args.device
        )
        regions = [make_region(kind, values) for kind, values in args.regions]
        dialogue = inferencer.dialogue(args.image, regions)
        for question in args.ask:
            print(f'> {question}')
            shown = ''
            for answer in inferencer.stream(dialogue, question):
                print(answer.removeprefix(shown), end='', flush=True)
                shown = answer
            print()
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
