"""F-LMM on the shipped tiny LLaVA and the toy world: minutes on a CPU (make demo)."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.datasets import ConcatGrounding, grounding_collate
from flmm.datasets.samplers import WeightedSampler
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
    from .._base_.datasets.toy_png_refcoco import *
    from .._base_.heads.unet_tiny_sam import *
    from .._base_.lmms.tiny_llava import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_heads import *

model = dict(
    type=FLMM,
    lmm=lmm,
    mask_head=dict(mask_head, in_channels=num_maps),
    mask_refiner=mask_refiner,
)
pipeline = [
    dict(type=LoadImage),
    dict(type=LoadMasks),
    dict(type=AddPrompt, prompt=prompt),
    dict(type=PrepareLMMInputs, processor=lmm_processor),
    dict(type=PrepareRefinerPixels, longer_side=refiner_side),
]
loader = dict(num_workers=1, persistent_workers=True, collate_fn=dict(type=grounding_collate))
train_dataloader = dict(
    loader,
    batch_size=8,
    # More expressions than narratives: to tell objects apart is the harder half.
    sampler=dict(
        type=WeightedSampler,
        weights=dict(png_train=1.0, refcoco=2.0, refcoco_plus=2.0, refcocog=2.0),
    ),
    dataset=dict(type=ConcatGrounding, datasets=train_datasets, pipeline=pipeline),
)
# One score for the demo: the val splits of RefCOCO, + and g together.
test_datasets['res'] = dict(
    type=ConcatGrounding,
    datasets=[test_datasets[f'{name}_val'] for name in ('refcoco', 'refcoco_plus', 'refcocog')],
    name='res',
)
test_cfg.update(tasks=['png', 'res'])
test_dataloader = {
    task: dict(
        loader,
        batch_size=8,
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
# Minutes, not days: an interrupted demo loses at most this many steps.
default_hooks['checkpoint'].update(interval=60)
