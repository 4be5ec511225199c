"""The control of ``pink_tiny_llava.py``: all the same but for the adapters, which it lacks.

Projector and rows of new tokens learn: without them no number could be written at all.
"""

from mmengine.config import read_base

with read_base():
    from .pink_tiny_llava import *

# Updating with an empty dict would leave them: configs merge.
del model['adapters']
