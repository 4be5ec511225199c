"""PixelLLM's experiment ``ref``: boxes of expressions."""

from mmengine.config import read_base

from flmm.datasets import ConcatGrounding
from flmm.datasets.samplers import WeightedSampler
from flmm.models.systems import PixelLLM

with read_base():
    from ..datasets.pixel_llm import *
    from ..datasets.pixel_llm_pipelines import *
    from ..schedules.pixel_llm import *

experiment = 'ref'
test_evaluator = {task: [dict(rec_metric, prefix=task)] for task in references_test}
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]


def assemble(text_args, parts, point_head):
    """The model with a text model; what it learns; its tests."""
    words = dict(prepare, max_tokens=40, **text_args)
    model = dict(type=PixelLLM, **parts, point_head=point_head)
    train = dict(
        workers,
        batch_size=batch_sizes[experiment],
        sampler=dict(
            type=WeightedSampler, weights=dict(flickr_refs=1.0, coco_refs=5.0, vg_refs=1.0)
        ),
        dataset=dict(
            type=ConcatGrounding,
            datasets=[flickr_refs, coco_refs, vg_refs],
            pipeline=[load, dict(words, **reference_args)],
        ),
    )
    testing = [load, load_masks, dict(words, **reference_args | plain | dict(max_texts=1000))]
    tests = {
        task: dict(test_loader, dataset=dict(cfg, pipeline=testing))
        for task, cfg in references_test.items()
    }
    return model, train, tests
