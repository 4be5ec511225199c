r"""Fill the cache of panoptic maps that a CoLLaVO config trains and is tested with.

Without it the maps are made by the first epoch's data loading, on the CPU. What is there already
is not made again, so a killed run is started anew and goes on; images are shared between
processes.

Examples:
  python tools/prepare_data/cache_panoptic.py configs/collavo/collavo_llava_1_5_7b_step1.py
  python tools/prepare_data/cache_panoptic.py CONFIG --tasks pope mme --device cuda
  torchrun --nproc_per_node 8 tools/prepare_data/cache_panoptic.py CONFIG     a GPU each
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from flmm.utils.errors import FLMMError


def main(argv: list[str] | None = None) -> int:
    """Fill this process's share."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', type=Path, help='config whose pipelines load maps from a CachedPanoptic')
    add('--tasks', nargs='+', metavar='NAME', help="'train' or test tasks; by default all")
    add('--device', help='of the segmenter; by default one GPU per process, or the CPU')
    add('--workers', type=int, default=4, metavar='N', help='threads that read images')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args(argv)
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

    from flmm.apis.config import load_config
    from flmm.apis.panoptic_cache import fill, find_jobs

    rank, world = (int(os.environ.get(k, d)) for k, d in (('RANK', '0'), ('WORLD_SIZE', '1')))
    gpu = f'cuda:{os.environ.get("LOCAL_RANK", "0")}' if torch.cuda.is_available() else 'cpu'
    config = load_config(args.config, args.cfg_options)
    init_default_scope('flmm')
    for job in find_jobs(config, args.device or gpu, args.tasks):
        with tqdm(desc=job.name, unit='image', disable=rank > 0 or not sys.stderr.isatty()) as bar:

            def progress(done: int, total: int, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            counts = fill(job, rank, world, args.workers, progress)
        shown = ', '.join(f'{count} {key}' for key, count in counts.items())
        print(f'{job.name}: {shown} (process {rank + 1} of {world})')
    return 0


if __name__ == '__main__':
    sys.exit(main())
