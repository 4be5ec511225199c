"""PixelLLM's experiment ``joint``: everything at once."""

from mmengine.config import read_base

from flmm.datasets import ConcatGrounding
from flmm.datasets.samplers import WeightedSampler
from flmm.models.systems import PixelLLM

with read_base():
    from ..datasets.pixel_llm import *
    from ..datasets.pixel_llm_pipelines import *
    from ..schedules.pixel_llm import *
    from .parts import *

experiment = 'joint'
test_evaluator = dict(
    traces=[dict(trace_metric, prefix='traces')],
    dense=[dict(dense_metric, prefix='dense')],
    **{task: [dict(rec_metric, prefix=task)] for task in references_test},
)
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]


def assemble(text_args, parts, point_head):
    """The model with a text model; what it learns; its tests."""
    words = dict(prepare, max_tokens=128, **text_args)
    model = dict(
        type=PixelLLM,
        **parts,
        point_head=point_head,
        box_head=dict(box_head, max_detections=32),
        proposals_per_image=16,
    )
    regions = region_args | dict(max_texts=16)
    kinds = dict(
        coco_captions=(coco_captions, 3.0, [load, dict(words, **caption_args)]),
        narratives=(all_narratives, 1.0, [load, dict(words, **narrative_args)]),
        flickr_refs=(flickr_refs, 1.0, [load, dict(words, **reference_args)]),
        coco_refs=(coco_refs, 5.0, [load, dict(words, **reference_args)]),
        vg_refs=(vg_refs, 1.0, [load, dict(words, **reference_args)]),
        regions_train=(regions_train, 5.0, [load, dict(words, **regions)]),
        conversations=(conversations, 5.0, [load, write_turns, dict(words, **answer_args)]),
    )
    train = dict(
        workers,
        batch_size=batch_sizes[experiment],
        sampler=dict(type=WeightedSampler, weights={name: kind[1] for name, kind in kinds.items()}),
        dataset=dict(
            type=ConcatGrounding,
            datasets=[dict(cfg, pipeline=steps) for cfg, _, steps in kinds.values()],
        ),
    )
    reading = [load, dict(words, **narrative_args)]
    boxes = [load, dict(words, **region_args | plain | dict(task='detect'))]
    testing = [load, load_masks, dict(words, **reference_args | plain | dict(max_texts=1000))]
    tests = dict(
        traces=dict(test_loader, dataset=dict(narratives_val, pipeline=reading)),
        dense=dict(test_loader, dataset=dict(regions_test, pipeline=boxes)),
        **{
            task: dict(test_loader, dataset=dict(cfg, pipeline=testing))
            for task, cfg in references_test.items()
        },
    )
    return model, train, tests
