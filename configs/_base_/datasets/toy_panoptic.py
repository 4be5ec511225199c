"""Segments of the toy world with imperfect prompts (tools/prepare_data/make_toy.py)."""

from mmengine.dataset import InfiniteSampler, default_collate

from flmm.datasets.toy.panoptic_prompts import PanopticPrompts

data_root = 'data/toy_sam'

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    collate_fn=dict(type=default_collate),
    dataset=dict(
        type=PanopticPrompts,
        panoptic_json=f'{data_root}/annotations/panoptic_train2017.json',
        panoptic_root=f'{data_root}/annotations/panoptic_train2017',
        image_root=f'{data_root}/train2017',
    ),
)
