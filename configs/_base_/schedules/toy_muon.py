"""Schedule of the toy experiments that train a language model's parts: Muon, minutes on a CPU."""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop

from flmm.engine.muon import MuonConstructor

max_iters = 450
warmup_iters = 30
optim_wrapper = dict(
    type=OptimWrapper,
    constructor=MuonConstructor,
    # Rows of tokens are no matrices that mix channels.
    paramwise_cfg=dict(adamw=['token_rows']),
    optimizer=dict(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-2, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type=CosineAnnealingLR,
        eta_min_ratio=0.02,
        by_epoch=False,
        begin=warmup_iters,
        end=max_iters,
    ),
]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=max_iters)
