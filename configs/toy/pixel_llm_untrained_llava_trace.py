"""The control: the same training on the same LLaVA *before its own training*."""

from mmengine.config import read_base

from flmm.models.lmms.tiny_llava import init_tiny_llava

with read_base():
    from .pixel_llm_llava_trace import *

# What is left of the score is what word statistics and the training itself tell of places.
model['image_encoders'][0]['lmm'] = dict(lmm, random_init=0, initialise=init_tiny_llava)
model['text_decoder']['lmm'] = dict(lmm, random_init=0, initialise=init_tiny_llava)
