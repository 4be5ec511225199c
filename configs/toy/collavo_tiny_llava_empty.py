"""Control of ``collavo_tiny_llava.py``: the same weights train, but every map is empty."""

from mmengine.config import read_base

with read_base():
    from .collavo_tiny_llava import *

for _loader in (train_dataloader, *test_dataloader.values()):
    _loader['dataset']['pipeline'][-1].update(control='empty')
del _loader
