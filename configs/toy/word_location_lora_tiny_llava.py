"""Word locations as PixelLLM learns them: the tiny LLaVA's LoRA trains with the point head."""

from mmengine.config import read_base

with read_base():
    from .._base_.recipes.lora import *
    from .word_location_tiny_llava import *

# What LoRA changes is the LMM's own; the control without training is word_location_untrained_llava.
# Not update(lmm=...), which would merge the two configs of LMMs.
model['lmm'] = dict(lora, lmm=lmm)
model['train_lmm'] = True
