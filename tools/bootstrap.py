r"""Label a detection data set with captions that a model confirms itself (Pink's bootstrapping).

Each box is captioned, each caption is grounded again, and what comes back with IoU >= 0.5 is
kept: OUT/kept.jsonl trains Objects365Dataset. A killed run goes on where it stopped; one of other
weights, config or options needs another OUT. The config must have `model` and
`inference_pipeline` (configs/pink/*.py have).

Examples:
  python tools/prepare_data/derive_pink.py objects365 zhiyuan_objv2_train.json boxes.json
  python tools/bootstrap.py CONFIG CHECKPOINT boxes.json --image-root data/objects365/train \
      --out work_dirs/bootstrap
  torchrun --nproc_per_node 8 tools/bootstrap.py ...      a shard for each GPU
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from flmm.utils.errors import FLMMError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', type=Path, help='config of a system that captions regions and grounds text')
    add('checkpoint', type=Path, help='what its training saved, or an official checkpoint')
    add('boxes', type=Path, help='boxes by image, made by tools/prepare_data/derive_pink.py')
    add('--image-root', type=Path, required=True, help='folder of the images')
    add('--out', type=Path, required=True, help='folder for all results')
    add('--batch-size', type=int, default=8, help='questions at once, of one image')
    add('--min-area', type=float, default=2000.0, help='smallest box to caption, in pixels')
    add('--iou', type=float, default=0.5, help='least overlap of the box found again')
    add('--official', action='store_true', help="read and filter with the release's defects")
    add('--no-whole-image', action='store_true', help='no grounded caption of the whole image')
    add('--limit', type=int, metavar='N', help='only the first N images')
    add('--gallery', type=int, default=20, metavar='N', help='examples to draw, kept and rejected')
    add('--device', help='for example cuda:0; by default one GPU per process, or the CPU')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Generate this process's shard; filter when it is the last to finish."""
    args = parse_args(argv)
    try:
        return run(args)
    except FLMMError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    import torch
    from mmengine.registry import init_default_scope
    from tqdm import tqdm

    from flmm.apis.bootstrap import BootstrapOptions, SystemAsker, collect, generate
    from flmm.apis.config import load_config
    from flmm.apis.provenance import text_hash, weight_hashes
    from flmm.datasets.derived_files import read_boxes_by_image
    from flmm.engine.checkpoint import load_trainable
    from flmm.registry import METRICS, MODELS

    rank, world = (int(os.environ.get(k, d)) for k, d in (('RANK', '0'), ('WORLD_SIZE', '1')))
    local = int(os.environ.get('LOCAL_RANK', '0'))
    device = args.device or (f'cuda:{local}' if torch.cuda.is_available() else 'cpu')
    config = load_config(args.config, args.cfg_options)
    if not config.get('inference_pipeline'):
        raise FLMMError(f'{args.config} has no inference_pipeline; see configs/pink.')
    records = read_boxes_by_image(args.boxes)[: args.limit]
    # Other captions would come of other weights, and of other questions to them.
    asks = [config.model, config.inference_pipeline, config.get('box_reader')]
    sources = weight_hashes(config.model, args.checkpoint)
    sources[str(args.config)] = text_hash(asks)
    init_default_scope('flmm')
    model = MODELS.build(config.model)
    print(load_trainable(model, args.checkpoint), file=sys.stderr)
    model.to(device).eval()
    reader = METRICS.build(config.box_reader) if config.get('box_reader') else None
    options = BootstrapOptions(
        min_area=args.min_area,
        iou_threshold=args.iou,
        official=args.official,
        whole_image=not args.no_whole_image,
        shard=rank,
        shards=world,
        gallery=args.gallery,
    )
    ask = SystemAsker(model, config.inference_pipeline, args.batch_size)
    with tqdm(unit='image', disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        generate(records, args.image_root, args.out, ask, options, reader, progress, sources)
    # Whoever comes last finds all shards complete; should two, they write the same file.
    statistics = collect(records, args.image_root, args.out, options)
    if statistics is None:
        print(f'shard {rank} of {world} is done; others are not yet')
        return 0
    for key, value in statistics.items():
        print(f'{key}: {value:.4g}')
    print(f'-> {args.out / "kept.jsonl"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
