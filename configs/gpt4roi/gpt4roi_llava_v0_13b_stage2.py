"""GPT4RoI on LLaVA/Vicuna-13B, stage 2: all but the vision tower, from stage 1; 8 GPUs."""

from mmengine.config import read_base

with read_base():
    from .gpt4roi_llava_v0_13b_stage1 import *
    from .._base_.datasets.gpt4roi import stage2_datasets
    from .._base_.schedules.gpt4roi import stage2_optim_wrapper, stage2_param_scheduler

model.update(
    trains=('regions', 'projector', 'language'),
    regions_from='work_dirs/gpt4roi_llava_v0_13b_stage1',
)
optim_wrapper, param_scheduler = stage2_optim_wrapper, stage2_param_scheduler
train_dataloader.update(batch_size=2)
train_dataloader['dataset'].update(datasets=stage2_datasets)
