"""PixelLLM with Flan-T5-XL: dense captions; starts from trace."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.models.systems import PixelLLM

with read_base():
    from .._base_.datasets.pixel_llm import *
    from .._base_.datasets.pixel_llm_pipelines import *
    from .._base_.pixel_llm.t5 import *
    from .._base_.runtime.default import *
    from .._base_.schedules.pixel_llm import *

experiment = 'densecap'
words = dict(prepare, tokenizer=tokenizer, end_context=end_context, max_tokens=40, **special_ids)
testing = dict(words, **region_args | plain)
model = dict(type=PixelLLM, **parts, box_head=box_head, proposals_per_image=text_proposals)
train_dataloader = dict(
    workers,
    batch_size=batch_sizes[experiment],
    sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(regions_train, pipeline=[load, dict(words, **region_args)]),
)
one = dict(one_region_test, pipeline=[load, dict(testing, source='last_region', task='write')])
test_dataloader = dict(
    dense=dict(
        test_loader, dataset=dict(regions_test, pipeline=[load, dict(testing, task='detect')])
    ),
    region_captions=dict(test_loader, dataset=one),
)
test_evaluator = dict(
    dense=[dict(dense_metric, prefix='dense')],
    region_captions=[dict(region_metric, prefix='region_captions')],
)
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]
