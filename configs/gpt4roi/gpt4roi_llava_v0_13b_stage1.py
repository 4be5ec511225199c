"""GPT4RoI on LLaVA/Vicuna-13B, stage 1: the region extractor alone (arXiv 2307.03601); 4 GPUs."""

from mmengine.config import read_base

from flmm.models.systems import GPT4RoI

with read_base():
    from .._base_.datasets.gpt4roi import stage1_datasets, test_datasets
    from .._base_.datasets.gpt4roi_loaders import *
    from .._base_.heads.multi_level_roi_query import *
    from .._base_.lmms.llava_v0_13b import *
    from .._base_.runtime.default import *
    from .._base_.schedules.gpt4roi import *

model = dict(
    type=GPT4RoI,
    lmm=lmm,
    roi_extractor=roi_extractor,
    processor=processor,
    levels=levels,
    trains=('regions',),
    gradient_checkpointing=True,
)
optim_wrapper, param_scheduler = stage1_optim_wrapper, stage1_param_scheduler
pipeline = [*loading, dict(reading, processor=processor)]
train_dataloader = dict(
    train_loader, batch_size=1, dataset=dict(concat, datasets=stage1_datasets, pipeline=pipeline)
)
test_dataloader = {
    task: dict(
        test_loader,
        dataset=dict(dataset, pipeline=[*pipeline, dict(weighing, processor=processor)]),
    )
    for task, dataset in test_datasets.items()
}
test_evaluator = {
    task: [dict(vcr_metric if task == 'vcr' else published_caption_metric, prefix=task)]
    for task in test_datasets
}
