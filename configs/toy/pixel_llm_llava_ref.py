"""A PixelLLM on the tiny LLaVA: the box of a referring expression."""

from mmengine.config import read_base
from mmengine.dataset import InfiniteSampler

from flmm.datasets import ConcatGrounding
from flmm.models.systems import PixelLLM

with read_base():
    from .._base_.datasets.toy_lmm_captions import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_pixel_llm_lmm import *

task = 'ref'
model = dict(type=PixelLLM, **parts, point_head=point_head)
train_dataloader = dict(
    loader,
    batch_size=8,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(type=ConcatGrounding, datasets=train_parts[task]),
)
test_dataloader = {name: test_loaders[name] for name in tests_of[task]}
test_evaluator = {name: test_metrics[name] for name in tests_of[task]}
default_hooks['checkpoint'].update(interval=100)
