"""Stage 2 of the tiny LLaVA: its LLM learns to point.

Only the turns whose answers name squares of the picture.

Run it with ``python tools/retrain_tiny.py llava``.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop

from flmm.engine.hooks.export_hook import ExportHook
from flmm.engine.muon import MuonConstructor
from flmm.models.systems.lmm_finetune import LMMFineTune

with read_base():
    from .._base_.datasets.toy_talk import train_dataloader
    from .._base_.runtime.tiny_models import *

work_dir = 'work_dirs/tiny_llava_point'
max_iters = 1500
warmup = 50

# Small batches: leaving plateaus takes steps rather than samples.
train_dataloader.update(batch_size=8)
train_dataloader.dataset.update(answer_pattern=r'(\b[A-L] \d+\b.*){3}', max_turns=3)
model = dict(
    type=LMMFineTune,
    pretrained='work_dirs/tiny_llava_align/export',
    autocast=True,
    freeze_vision=True,
)

optim_wrapper = dict(
    type=OptimWrapper,
    constructor=MuonConstructor,
    optimizer=dict(lr=0.0015, betas=(0.9, 0.98), weight_decay=0.02),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(
        type=CosineAnnealingLR,
        eta_min_ratio=0.3,
        by_epoch=False,
        begin=warmup,
        T_max=max_iters - warmup,
        end=max_iters,
    ),
]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=max_iters)

custom_hooks = [dict(type=ExportHook, folder=f'{work_dir}/export', interval=200)]
