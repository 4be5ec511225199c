"""PixelLLM with Flan-T5-XL: masks of expressions; starts from ref."""

from mmengine.config import read_base

with read_base():
    from .._base_.pixel_llm.refseg import *
    from .._base_.pixel_llm.refseg import assemble
    from .._base_.pixel_llm.t5 import *
    from .._base_.runtime.default import *

model, train_dataloader, test_dataloader = assemble(text_args, parts, point_head, mask_head)
del assemble
