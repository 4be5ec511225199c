"""Control of ``collavo_tiny_llava.py``: the same training without a crayon prompt."""

from mmengine.config import read_base

with read_base():
    from .collavo_tiny_llava import *

model.update(crayon=None)
