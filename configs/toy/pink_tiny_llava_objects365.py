"""Pink goes on training with nothing but captions that ``tools/bootstrap.py`` wrote of toy scenes.

``--cfg-options load_from=...`` names the checkpoint to start from,
``train_dataloader.dataset.ann_file=...`` the captions (kept ones, or all).
"""

from mmengine.config import read_base

from flmm.datasets import Objects365Dataset

with read_base():
    from .pink_tiny_llava import *

train_dataloader.update(
    dataset=dict(bootstrapped, type=Objects365Dataset, tasks=['grounding'], pipeline=train_pipeline)
)
max_iters = 300
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
