"""PixelLLM's point head on the frozen tiny LLaVA: where does each word point? Minutes on a CPU."""

from mmengine.config import read_base

from flmm.models.point_heads import AttentionPointHead
from flmm.models.systems import WordLocation

with read_base():
    from .._base_.datasets.toy_word_loaders import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_heads import *

model = dict(
    type=WordLocation,
    lmm=lmm,
    layers=(0, 1, 2, 3, 4),
    point_head=dict(
        type=AttentionPointHead,
        # Layers of 160 channels.
        in_channels=5 * 160,
        num_maps=num_maps,
        num_points=1,
    ),
)
max_iters = 500
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
default_hooks['checkpoint'].update(interval=100)
