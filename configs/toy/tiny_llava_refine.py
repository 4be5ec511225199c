"""Stage 4 of the tiny LLaVA: conversations that are mostly about referring expressions.

Other scenes than before; the learning rate goes on from where stage 3 left it, to zero.

Run it with ``python tools/retrain_tiny.py llava``.
"""

from mmengine.config import read_base

with read_base():
    from .tiny_llava import *

work_dir = 'work_dirs/tiny_llava_refine'
max_iters = 1500
warmup = 30

train_dataloader.dataset.update(data_root='data/toy_talk_references/llava_references')
model.update(pretrained='work_dirs/tiny_llava/export')
optim_wrapper.optimizer.update(lr=8e-4)
param_scheduler[0].update(end=warmup)
param_scheduler[1].update(begin=warmup, T_max=max_iters - warmup, end=max_iters)
train_cfg.update(max_iters=max_iters)
custom_hooks = [dict(type=ExportHook, folder=f'{work_dir}/export', interval=300)]
randomness = dict(seed=1)
