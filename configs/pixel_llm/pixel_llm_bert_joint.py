"""PixelLLM with a BERT-sized text model: everything at once."""

from mmengine.config import read_base

from flmm.datasets import ConcatGrounding
from flmm.datasets.samplers import WeightedSampler
from flmm.models.systems import PixelLLM

with read_base():
    from .._base_.datasets.pixel_llm import *
    from .._base_.datasets.pixel_llm_pipelines import *
    from .._base_.pixel_llm.bert import *
    from .._base_.runtime.default import *
    from .._base_.schedules.pixel_llm import *

experiment = 'joint'
words = dict(prepare, tokenizer=tokenizer, end_context=end_context, max_tokens=128, **special_ids)
kinds = dict(
    coco_captions=(coco_captions, 3.0, [load, dict(words, **caption_args)]),
    narratives=(all_narratives, 1.0, [load, dict(words, **narrative_args)]),
    flickr_refs=(flickr_refs, 1.0, [load, dict(words, **reference_args)]),
    coco_refs=(coco_refs, 5.0, [load, dict(words, **reference_args)]),
    vg_refs=(vg_refs, 1.0, [load, dict(words, **reference_args)]),
    regions_train=(regions_train, 5.0, [load, dict(words, **region_args | dict(max_texts=16))]),
    conversations=(conversations, 5.0, [load, write_turns, dict(words, **answer_args)]),
)
model = dict(
    type=PixelLLM,
    **parts,
    point_head=point_head,
    box_head=dict(box_head, max_detections=32),
    proposals_per_image=16,
)
train_dataloader = dict(
    workers,
    batch_size=batch_sizes[experiment],
    sampler=dict(type=WeightedSampler, weights={name: kind[1] for name, kind in kinds.items()}),
    dataset=dict(
        type=ConcatGrounding,
        datasets=[dict(cfg, pipeline=steps) for cfg, _, steps in kinds.values()],
    ),
)
del kinds
reading = [load, dict(words, **narrative_args)]
finding = [load, load_masks, dict(words, **reference_args | plain | dict(max_texts=1000))]
boxes = [load, dict(words, **region_args | plain | dict(task='detect'))]
test_dataloader = dict(
    traces=dict(test_loader, dataset=dict(narratives_val, pipeline=reading)),
    dense=dict(test_loader, dataset=dict(regions_test, pipeline=boxes)),
    **{
        task: dict(test_loader, dataset=dict(cfg, pipeline=finding))
        for task, cfg in references_test.items()
    },
)
test_evaluator = dict(
    traces=[dict(trace_metric, prefix='traces')],
    dense=[dict(dense_metric, prefix='dense')],
    **{task: [dict(rec_metric, prefix=task)] for task in references_test},
)
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]
