"""Control of ``collavo_tiny_llava.py``: each image has the map of another, also in training."""

from mmengine.config import read_base

with read_base():
    from .collavo_tiny_llava import *

for _loader in (train_dataloader, *test_dataloader.values()):
    _loader['dataset']['pipeline'][1]['segmenter'].update(shift=1)
del _loader
