"""F-LMM on LLaVA-1.5-7B, PNG + RefCOCO/+/g, the official hyper-parameters (arXiv 2406.05821)."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.datasets import ConcatGrounding, grounding_collate
from flmm.datasets.transforms import (
    AddPrompt,
    LoadImage,
    LoadMasks,
    PrepareLMMInputs,
    PrepareRefinerPixels,
)
from flmm.evaluation.metrics import PNGMetric, RESMetric
from flmm.models.systems import FLMM

with read_base():
    from .._base_.datasets.png_refcoco import *
    from .._base_.heads.unet_sam_l import *
    from .._base_.lmms.llava_1_5_7b import *
    from .._base_.runtime.default import *
    from .._base_.schedules.adamw_1e_4_8e import *

model = dict(
    type=FLMM,
    lmm=lmm,
    mask_head=dict(mask_head, in_channels=num_maps),
    mask_refiner=mask_refiner,
    targets_in='lmm',
)
pipeline = [
    dict(type=LoadImage),
    dict(type=LoadMasks),
    dict(type=AddPrompt, prompt=prompt),
    dict(type=PrepareLMMInputs, processor=lmm_processor),
    dict(type=PrepareRefinerPixels, longer_side=refiner_side),
]
loader = dict(
    batch_size=1, num_workers=2, persistent_workers=True, collate_fn=dict(type=grounding_collate)
)
train_dataloader = dict(
    loader,
    sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(type=ConcatGrounding, datasets=train_datasets, pipeline=pipeline),
)
test_dataloader = {
    task: dict(
        loader,
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=dict(dataset, pipeline=pipeline),
    )
    for task, dataset in test_datasets.items()
}
test_evaluator = {
    task: [
        dict(type=PNGMetric if task == 'png' else RESMetric, prefix=task),
        dict(
            type=PNGMetric if task == 'png' else RESMetric,
            prefix=f'coarse/{task}',
            source='coarse_masks',
        ),
    ]
    for task in test_datasets
}
