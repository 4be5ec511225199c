"""Pink goes on from what ``pink_tiny_llava.py`` has learned, with counting in the foreground.

Of all questions counting leaves its plateau last: of what is shown by a box the kind has to be seen
first. ``--cfg-options load_from=...`` names another checkpoint to start from.
"""

from mmengine.config import read_base

with read_base():
    from .pink_tiny_llava import *

load_from = 'work_dirs/pink_tiny_llava/iter_1000.pth'
train_dataloader['dataset']['weights'] = 'visual_genome:9@refcoco@refcoco_plus@refcocog'
train_dataloader['dataset']['datasets']['visual_genome']['tasks'] = [
    *['counting'] * 8,
    *('predicate', 'predicate', 'detection', 'detection', 'region_caption', 'region_caption'),
    *('grounding', 'grounding'),
]
max_iters = 500
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
