"""Stage 1 of the toy GPT4RoI with masks, points and scribbles beside boxes (not in the release)."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.toy_shapes import shape_stage1_datasets, shape_test_datasets
    from .gpt4roi_tiny_llava_stage1 import *

model['roi_extractor'].update(shapes=True)
train_dataloader['dataset'].update(datasets=shape_stage1_datasets)
_test = test_dataloader['refcocog_captions']
test_dataloader = {
    task: dict(_test, dataset=dict(_test['dataset'], **dataset))
    for task, dataset in shape_test_datasets.items()
}
test_evaluator = {
    task: [
        dict(caption_metric, prefix=task),
        dict(type=NamingMetric, kinds=naming_kinds, prefix=f'naming/{task}'),
    ]
    for task in shape_test_datasets
}
del _test
