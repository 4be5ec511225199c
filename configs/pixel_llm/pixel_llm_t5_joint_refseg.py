"""PixelLLM with Flan-T5-XL: masks of expressions; starts from joint."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.datasets import ConcatGrounding
from flmm.models.systems import PixelLLM

with read_base():
    from .._base_.datasets.pixel_llm import *
    from .._base_.datasets.pixel_llm_pipelines import *
    from .._base_.pixel_llm.t5 import *
    from .._base_.runtime.default import *
    from .._base_.schedules.pixel_llm import *

experiment = 'joint_refseg'
words = dict(prepare, tokenizer=tokenizer, end_context=end_context, max_tokens=128, **special_ids)
reading = [load, load_masks, dict(words, **reference_args)]
testing = [load, load_masks, dict(words, **reference_args | plain | dict(max_texts=1000))]
model = dict(
    type=PixelLLM,
    **parts,
    point_head=point_head,
    box_head=dict(box_head, max_detections=32),
    proposals_per_image=16,
    mask_head=mask_head,
    frozen=('image_encoders', 'prompt_extractor', 'text_decoder', 'point_head', 'box_head'),
)
train_dataloader = dict(
    workers,
    batch_size=batch_sizes[experiment],
    sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(type=ConcatGrounding, datasets=masks_train, pipeline=reading),
)
test_dataloader = {
    task: dict(test_loader, dataset=dict(cfg, pipeline=testing))
    for task, cfg in references_test.items()
}
test_evaluator = {task: [dict(res_metric, prefix=task)] for task in references_test}
train_cfg, optim_wrapper = train_cfgs[experiment], optim_wrappers[experiment]
param_scheduler = schedulers[experiment]
