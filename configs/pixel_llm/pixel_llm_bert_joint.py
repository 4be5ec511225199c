"""PixelLLM with a BERT-sized text model: everything at once."""

from mmengine.config import read_base

with read_base():
    from .._base_.pixel_llm.joint import *
    from .._base_.pixel_llm.joint import assemble
    from .._base_.pixel_llm.bert import *
    from .._base_.runtime.default import *

model, train_dataloader, test_dataloader = assemble(text_args, parts, point_head)
del assemble
