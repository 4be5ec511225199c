"""PixelLLM's experiment ``trace``: captions of images with a place for every word."""

from mmengine.config import read_base

from flmm.datasets import ConcatGrounding
from flmm.datasets.samplers import WeightedSampler
from flmm.models.systems import PixelLLM

with read_base():
    from ..datasets.pixel_llm import *
    from ..datasets.pixel_llm_pipelines import *
    from ..schedules.pixel_llm import *

experiment = 'trace'
test_evaluator = dict(traces=[dict(trace_metric, prefix='traces')])
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]


def assemble(text_args, parts, point_head):
    """The model with a text model; what it learns; its tests."""
    words = dict(prepare, max_tokens=128, **text_args)
    model = dict(type=PixelLLM, **parts, point_head=point_head)
    captions = dict(coco_captions, pipeline=[load, dict(words, **caption_args)])
    reading = [load, dict(words, **narrative_args)]
    train = dict(
        workers,
        batch_size=batch_sizes[experiment],
        sampler=dict(type=WeightedSampler, weights=dict(coco_captions=1.0, narratives=2.0)),
        dataset=dict(
            type=ConcatGrounding, datasets=[captions, dict(all_narratives, pipeline=reading)]
        ),
    )
    tests = dict(traces=dict(test_loader, dataset=dict(narratives_val, pipeline=reading)))
    return model, train, tests
