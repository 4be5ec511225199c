"""GPT4RoI on the shipped tiny LLaVA and the toy world, stage 1: the region extractor alone."""

from mmengine.config import read_base

from flmm.datasets.samplers import WeightedSampler
from flmm.evaluation.metrics import NamingMetric
from flmm.models.roi_extractors import MultiLevelRoIQuery
from flmm.models.systems import GPT4RoI

with read_base():
    from .._base_.datasets.gpt4roi_loaders import *
    from .._base_.datasets.toy_regions import *
    from .._base_.lmms.tiny_llava_regions import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_muon import *

model = dict(
    type=GPT4RoI,
    lmm=lmm,
    roi_extractor=dict(type=MultiLevelRoIQuery, hidden_channels=256, roi_size=5, rounds=2),
    processor=processor,
    levels=levels,
    trains=('regions',),
    # So small a language model does not find what to read from random vectors.
    echo=4.0,
    max_new_tokens=24,
    autocast=True,
)
pipeline = [*loading, dict(reading, processor=processor)]
loader.update(num_workers=1)
train_dataloader = dict(
    loader,
    batch_size=8,
    # Categories are short and say all that a region's vector must hold.
    sampler=dict(
        type=WeightedSampler,
        weights=dict(coco_detection=5.0, refcoco=1.0, refcoco_plus=1.0, visual_genome=3.0),
    ),
    dataset=dict(concat, datasets=stage1_datasets, pipeline=pipeline),
)
test_dataloader = {
    task: dict(
        test_loader,
        num_workers=0,
        persistent_workers=False,
        batch_size=16,
        dataset=dict(dataset, pipeline=[*pipeline, dict(weighing, processor=processor)]),
    )
    for task, dataset in test_datasets.items()
}
test_evaluator = {
    task: [dict(vcr_metric, prefix=task)]
    if task.startswith('vcr')
    else [
        dict(caption_metric, prefix=task),
        dict(type=NamingMetric, kinds=naming_kinds, prefix=f'naming/{task}'),
    ]
    for task in test_datasets
}
