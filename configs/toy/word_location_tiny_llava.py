"""PixelLLM's point head on the frozen tiny LLaVA: where does each word point? Minutes on a CPU."""

from mmengine.config import read_base

from flmm.models.point_heads import MLPPointHead
from flmm.models.systems import WordLocation

with read_base():
    from .._base_.datasets.toy_word_loaders import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_heads import *

model = dict(
    type=WordLocation,
    lmm=lmm,
    layers=(0, 1, 2, 3, 4),
    attention=True,
    point_head=dict(
        type=MLPPointHead,
        # Layers of 160 channels, and 4 numbers for each of the attention maps.
        in_channels=5 * 160 + 4 * num_maps,
        hidden_channels=256,
        num_points=1,
        num_logits=0,
    ),
)
max_iters = 1500
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
default_hooks['checkpoint'].update(interval=100)
