"""The control: the same head and training on the same LMM *before its own training*."""

from mmengine.config import read_base

from flmm.models.lmms.tiny_llava import init_tiny_llava

with read_base():
    from .word_location_tiny_llava import *

# What is left of the score is what word statistics alone tell of places.
model.update(lmm=dict(lmm, random_init=0, initialise=init_tiny_llava))
