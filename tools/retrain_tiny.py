"""Retrain a tiny model of the toy world from random weights: data, training, measuring, card.

Examples:
    python tools/retrain_tiny.py llava          # about an hour and a half on two cores
    python tools/retrain_tiny.py sam            # about ten minutes
    python tools/retrain_tiny.py sam --install

A stage that has ended is not trained again: run the same command after an interruption.
The result, with a model card, lies under work_dirs/tiny_llava_refine/export or
work_dirs/tiny_sam/export; with --install it replaces the folder in checkpoints/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from flmm.engine.allocator import ALLOCATOR_ENVIRONMENT

STAGES = {
    'llava': (
        'configs/toy/tiny_llava_align.py',
        'configs/toy/tiny_llava_point.py',
        'configs/toy/tiny_llava.py',
        'configs/toy/tiny_llava_refine.py',
    ),
    'sam': ('configs/toy/tiny_sam_encoder.py', 'configs/toy/tiny_sam.py'),
}
SEED = 0


def prepare(name: str) -> None:
    """Write the data and the untrained model that the configs name."""
    from flmm.datasets.toy.build import ToySettings, build_toy_world

    untrained = f'work_dirs/tiny_{name}/untrained'
    if name == 'llava':
        from flmm.datasets.toy.tokenizer import train_toy_tokenizer
        from flmm.models.lmms.tiny_llava import write_untrained_tiny_llava
        from flmm.models.systems.vision_align import WORDS

        settings = ToySettings(SEED, num_val=200, num_talk=40000, formats=('llava',))
        build_toy_world('data/toy_talk', settings)
        settings = ToySettings(SEED + 2, num_val=200, num_talk=12000, formats=('llava_references',))
        build_toy_world('data/toy_talk_references', settings)
        write_untrained_tiny_llava(untrained, train_toy_tokenizer(SEED), SEED, WORDS)
    else:
        from flmm.models.mask_refiners.tiny_sam import write_untrained_tiny_sam

        settings = ToySettings(SEED + 1, num_train=2500, num_val=150, formats=('png',))
        build_toy_world('data/toy_sam', settings)
        write_untrained_tiny_sam(untrained, SEED)


def train(name: str) -> None:
    """Train the stages one after another, each as ``tools/train.py`` would.

    A stage leaves a mark that names what it was a function of: its config, the data, and the
    stages before. With the same mark it is not repeated.
    """
    from mmengine.config import Config
    from mmengine.runner import Runner

    from flmm.datasets.toy.build import VERSION
    from flmm.engine.atomic_write import write_text_atomically

    made_of = f'toy world {VERSION}, seed {SEED}\n'
    for path in STAGES[name]:
        config = Config.fromfile(path)
        made_of = hashlib.sha256((made_of + config.pretty_text).encode()).hexdigest()
        mark = Path(config.work_dir) / 'finished.txt'
        if mark.is_file() and mark.read_text() == made_of:
            print(f'{path}: finished before')
            continue
        Runner.from_cfg(config).train()
        write_text_atomically(mark, made_of)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', choices=list(STAGES))
    parser.add_argument('--install', action='store_true', help='replace checkpoints/tiny_*')
    args = parser.parse_args(arguments)
    if any(os.environ.get(key) != value for key, value in ALLOCATOR_ENVIRONMENT.items()):
        os.environ.update(ALLOCATOR_ENVIRONMENT)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    prepare(args.name)
    train(args.name)
    # The scripts of this folder see each other.
    from measure_tiny import measure_llava, measure_sam
    from tiny_model_card import write_model_card

    folder = Path(f'work_dirs/{Path(STAGES[args.name][-1]).stem}/export')
    scores = {'llava': measure_llava, 'sam': measure_sam}[args.name](str(folder))
    print(json.dumps(scores, indent=2))
    logs = [Path(f'work_dirs/{Path(config).stem}') for config in STAGES[args.name]]
    write_model_card(args.name, folder, logs, scores)
    if args.install:
        shipped = Path(f'checkpoints/tiny_{args.name}')
        shutil.rmtree(shipped, ignore_errors=True)
        shutil.copytree(folder, shipped)


if __name__ == '__main__':
    main()
