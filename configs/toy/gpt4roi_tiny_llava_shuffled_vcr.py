"""The control of VCR: trained on answers of other questions, scored by the true ones: chance."""

from mmengine.config import read_base

with read_base():
    from .gpt4roi_tiny_llava_stage2 import *

# As it was trained: half of what stage 2 has, so that more of its samples show the picture.
model.update(blind=0.25)
train_dataloader['dataset'].update(
    datasets=[dict(vcr, labels='shuffled') for vcr in stage2_datasets[-2:]]
)
train_dataloader['sampler']['weights'] = dict(vcr_all=1.0, vcr_named=1.0)
