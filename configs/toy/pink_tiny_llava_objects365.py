"""Pink goes on training with nothing but captions that ``tools/bootstrap.py`` wrote of toy scenes.

``--cfg-options load_from=...`` names the checkpoint to start from,
``train_dataloader.dataset.ann_file=...`` the captions (kept ones, or all).
"""

from mmengine.config import read_base

from flmm.datasets import Objects365Dataset

with read_base():
    from .pink_tiny_llava import *

# Set, not updated: configs merge, and the mixture's options would stay.
train_dataloader['dataset'] = dict(
    bootstrapped, type=Objects365Dataset, tasks=['grounding'], pipeline=train_pipeline
)
# It goes on from what has learned already: gently.
optim_wrapper.update(
    optimizer=dict(lr=2e-3, muon_lr=4e-3, betas=(0.9, 0.98), weight_decay=0.01),
)
max_iters = 200
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
