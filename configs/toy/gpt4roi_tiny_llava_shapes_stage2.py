"""Stage 2 of the toy GPT4RoI with masks, points and scribbles beside boxes."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.toy_shapes import shape_stage2_datasets
    from .gpt4roi_tiny_llava_stage2 import *
    from .gpt4roi_tiny_llava_shapes_stage1 import test_dataloader, test_evaluator  # isort: skip

model['roi_extractor'].update(shapes=True)
model.update(regions_from='work_dirs/gpt4roi_tiny_llava_shapes_stage1')
train_dataloader['dataset'].update(datasets=shape_stage2_datasets)
