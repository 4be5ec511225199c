"""Toy scenes, rendered on demand, with a label for every patch."""

from mmengine.dataset import InfiniteSampler, default_collate

from flmm.datasets.toy.patches import ToyPatches

# The untrained model's folder; its image processor makes the inputs.
untrained = 'work_dirs/tiny_llava/untrained'

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    collate_fn=dict(type=default_collate),
    dataset=dict(type=ToyPatches, num_scenes=40000, processor=untrained),
)
