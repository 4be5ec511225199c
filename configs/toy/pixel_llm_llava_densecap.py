"""A PixelLLM on the tiny LLaVA: boxes of all objects, each with a caption."""

from mmengine.config import read_base
from mmengine.dataset import InfiniteSampler

from flmm.datasets import ConcatGrounding
from flmm.models.systems import PixelLLM

with read_base():
    from .._base_.datasets.toy_lmm_captions import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_pixel_llm_lmm import *

task = 'densecap'
# No head reads where words look.
parts['text_decoder'].update(attention=False, maps=False)
model = dict(type=PixelLLM, **parts, box_head=box_head, proposals_per_image=8)
train_dataloader = dict(
    loader,
    batch_size=8,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(type=ConcatGrounding, datasets=train_parts[task]),
)
test_dataloader = {name: test_loaders[name] for name in tests_of[task]}
test_evaluator = {name: test_metrics[name] for name in tests_of[task]}
default_hooks['checkpoint'].update(interval=100)
