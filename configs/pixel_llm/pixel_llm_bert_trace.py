"""PixelLLM with a BERT-sized text model: captions of images with a place for every word."""

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

experiment = 'trace'
words = dict(prepare, tokenizer=tokenizer, end_context=end_context, max_tokens=128, **special_ids)
captions = dict(coco_captions, pipeline=[load, dict(words, **caption_args)])
narratives = dict(all_narratives, pipeline=[load, dict(words, **narrative_args)])
model = dict(type=PixelLLM, **parts, point_head=point_head)
train_dataloader = dict(
    workers,
    batch_size=batch_sizes[experiment],
    sampler=dict(type=WeightedSampler, weights=dict(coco_captions=1.0, narratives=2.0)),
    dataset=dict(type=ConcatGrounding, datasets=[captions, narratives]),
)
reading = [load, dict(words, **narrative_args)]
test_dataloader = dict(traces=dict(test_loader, dataset=dict(narratives_val, pipeline=reading)))
test_evaluator = dict(traces=[dict(trace_metric, prefix='traces')])
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]
