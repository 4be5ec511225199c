"""A PixelLLM on the tiny LLaVA that learns everything at once."""

from mmengine.config import read_base

from flmm.datasets import ConcatGrounding
from flmm.datasets.samplers import WeightedSampler
from flmm.models.systems import PixelLLM

with read_base():
    from .._base_.datasets.toy_lmm_captions import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_pixel_llm_lmm import *

model = dict(
    type=PixelLLM,
    **parts,
    point_head=point_head,
    mask_head=mask_head,
    box_head=box_head,
    proposals_per_image=8,
)
shares = dict(weights=dict(narratives_train=3.0, regions_train=3.0))
train_dataloader = dict(
    loader,
    batch_size=8,
    # As in the release, a batch is of one kind.
    sampler=dict(type=WeightedSampler, **shares, default=1.0, run=8),
    dataset=dict(
        type=ConcatGrounding,
        datasets=[*train_parts['trace'], *train_parts['refseg'], *train_parts['densecap']],
    ),
)
test_dataloader, test_evaluator = test_loaders, test_metrics
default_hooks['checkpoint'].update(interval=100)
# As many samples of each task as its own training sees would be three times as many steps.
train_cfg.update(max_iters=2 * max_iters)
param_scheduler[1].update(end=2 * max_iters)
