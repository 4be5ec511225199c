"""PixelLLM's experiment ``densecap``: dense captions."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.models.systems import PixelLLM

with read_base():
    from ..datasets.pixel_llm import *
    from ..datasets.pixel_llm_pipelines import *
    from ..schedules.pixel_llm import *
    from .parts import *

experiment = 'densecap'
test_evaluator = dict(
    dense=[dict(dense_metric, prefix='dense')],
    region_captions=[dict(region_metric, prefix='region_captions')],
)
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]


def assemble(text_args, parts, text_proposals):
    """The model with a text model; what it learns; its tests."""
    words = dict(prepare, max_tokens=40, **text_args)
    model = dict(type=PixelLLM, **parts, box_head=box_head, proposals_per_image=text_proposals)
    train = dict(
        workers,
        batch_size=batch_sizes[experiment],
        sampler=dict(type=DefaultSampler, shuffle=True),
        dataset=dict(regions_train, pipeline=[load, dict(words, **region_args)]),
    )
    testing = dict(words, **region_args | plain)
    finding = [load, dict(testing, task='detect')]
    writing = [load, dict(testing, source='last_region', task='write')]
    tests = dict(
        dense=dict(test_loader, dataset=dict(regions_test, pipeline=finding)),
        region_captions=dict(test_loader, dataset=dict(one_region_test, pipeline=writing)),
    )
    return model, train, tests
