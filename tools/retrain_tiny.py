"""Retrain a tiny model of the toy world from random weights: data, training, export.

Examples:
    python tools/retrain_tiny.py llava          # about half an hour on two cores
    python tools/retrain_tiny.py sam            # about ten minutes
    python tools/retrain_tiny.py llava --prepare-only

What it trained lies under work_dirs/tiny_llava or work_dirs/tiny_sam; with --install it
replaces the folder in checkpoints/.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from flmm.datasets.toy.build import ToySettings, build_toy_world

CONFIGS = {'llava': 'configs/toy/tiny_llava.py', 'sam': 'configs/toy/tiny_sam.py'}


def prepare_llava(seed: int) -> None:
    """Write the conversations and the untrained model that the config names."""
    from flmm.datasets.toy.tokenizer import train_toy_tokenizer
    from flmm.models.lmms.tiny_llava import write_untrained_tiny_llava

    build_toy_world(
        'data/toy_talk', ToySettings(seed, num_val=200, num_talk=12000, formats=('llava',))
    )
    write_untrained_tiny_llava('work_dirs/tiny_llava/untrained', train_toy_tokenizer(seed), seed)
