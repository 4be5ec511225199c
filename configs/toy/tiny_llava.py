"""Stage 3 of the tiny LLaVA that ships in checkpoints/tiny_llava: it learns to talk.

Stage 1 (``tiny_llava_align.py``) stands for the pretrained CLIP tower and the aligned
projector of real LLaVA models; in stage 2 (``tiny_llava_point.py``) it learned to point.

Run it with ``python tools/retrain_tiny.py llava``, which also writes the data and the
untrained model, runs the other stages, and writes the model card afterwards.
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

work_dir = 'work_dirs/tiny_llava'
max_iters = 1500
warmup = 60

# Small batches: leaving plateaus takes steps rather than samples.
train_dataloader.update(batch_size=8)
model = dict(
    type=LMMFineTune,
    pretrained='work_dirs/tiny_llava_point/export',
    autocast=True,
    freeze_vision=True,
)

optim_wrapper = dict(
    type=OptimWrapper,
    constructor=MuonConstructor,
    optimizer=dict(lr=0.0012, betas=(0.9, 0.98), weight_decay=0.02),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(
        type=CosineAnnealingLR,
        eta_min_ratio=0.01,
        by_epoch=False,
        begin=warmup,
        # The next stage goes on from a rate that is still high.
        T_max=3740,
        end=3800,
    ),
]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=max_iters)

custom_hooks = [dict(type=ExportHook, folder=f'{work_dir}/export', interval=300)]
