"""Toy scenes, rendered on demand, with a label for every other pixel."""

from mmengine.dataset import InfiniteSampler, default_collate

from flmm.datasets.toy.pixels import ToyPixels

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    collate_fn=dict(type=default_collate),
    dataset=dict(type=ToyPixels, num_scenes=20000),
)
