"""GPT4RoI on the shipped tiny LLaVA and the toy world, stage 2: all but the vision tower."""

from mmengine.config import read_base

with read_base():
    from .gpt4roi_tiny_llava_stage1 import *

model.update(
    trains=('regions', 'projector', 'language'),
    regions_from='work_dirs/gpt4roi_tiny_llava_stage1',
    echo=0.0,
)
# Smaller steps than stage 1: the language model is a trained one.
optim_wrapper['optimizer'].update(lr=6e-4)
max_iters = 900
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
train_dataloader['dataset'].update(datasets=stage2_datasets)
