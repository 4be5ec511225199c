"""GPT4RoI on the shipped tiny LLaVA and the toy world, stage 2: all but the vision tower."""

from mmengine.config import read_base

with read_base():
    from .gpt4roi_tiny_llava_stage1 import *

model.update(
    trains=('regions', 'projector', 'language'),
    regions_from='work_dirs/gpt4roi_tiny_llava_stage1',
    echo=0.0,
)
# As its own training: to read the region's token it has to leave a plateau.
optim_wrapper['optimizer'].update(lr=1.5e-3)
max_iters = 2000
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
# The short answers of stage 1 as well: they tell most about what is to be read.
train_dataloader['dataset'].update(datasets=[*stage1_datasets[:3], *stage2_datasets])
