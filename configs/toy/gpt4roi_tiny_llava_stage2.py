"""GPT4RoI on the shipped tiny LLaVA and the toy world, stage 2: all but the vision tower."""

from mmengine.config import read_base

with read_base():
    from .gpt4roi_tiny_llava_stage1 import *

model.update(
    trains=('regions', 'projector', 'language'),
    regions_from='work_dirs/gpt4roi_tiny_llava_stage1',
    # Without it the vectors lose colours that the language model does not read yet.
    echo=2.0,
    # What a region shows is to be read from its vector, not guessed from the picture.
    blind=0.5,
)
max_iters = 900
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
# The short answers of stage 1 as well: they tell most about what is to be read. By their sizes
# half of the samples were VCR's, and most of the tokens those of whole descriptions.
train_dataloader['dataset'].update(datasets=[*stage1_datasets[:3], *stage2_datasets])
train_dataloader['sampler']['weights'] = dict(
    coco_detection=4.0,
    refcoco=0.5,
    refcoco_plus=0.5,
    refcocog=2.0,
    flickr30k=0.5,
    visual_genome=5.0,
    llava_regions=0.25,
    vcr_all=3.0,
    vcr_named=3.0,
)
