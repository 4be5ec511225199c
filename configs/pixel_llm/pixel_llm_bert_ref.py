"""PixelLLM with a BERT-sized text model: boxes of expressions; starts from trace."""

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

experiment = 'ref'
words = dict(prepare, tokenizer=tokenizer, end_context=end_context, max_tokens=40, **special_ids)
reading = [load, dict(words, **reference_args)]
testing = [load, load_masks, dict(words, **reference_args | plain | dict(max_texts=1000))]
model = dict(type=PixelLLM, **parts, point_head=point_head)
train_dataloader = dict(
    workers,
    batch_size=batch_sizes[experiment],
    sampler=dict(type=WeightedSampler, weights=dict(flickr_refs=1.0, coco_refs=5.0, vg_refs=1.0)),
    dataset=dict(
        type=ConcatGrounding, datasets=[flickr_refs, coco_refs, vg_refs], pipeline=reading
    ),
)
test_dataloader = {
    task: dict(test_loader, dataset=dict(cfg, pipeline=testing))
    for task, cfg in references_test.items()
}
test_evaluator = {task: [dict(rec_metric, prefix=task)] for task in references_test}
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]
