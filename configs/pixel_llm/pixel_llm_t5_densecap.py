"""PixelLLM with Flan-T5-XL: dense captions; starts from trace."""

from mmengine.config import read_base

with read_base():
    from .._base_.pixel_llm.densecap import *
    from .._base_.pixel_llm.densecap import assemble
    from .._base_.pixel_llm.t5 import *
    from .._base_.runtime.default import *

model, train_dataloader, test_dataloader = assemble(text_args, parts, text_proposals)
del assemble
