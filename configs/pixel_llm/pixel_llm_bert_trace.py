"""PixelLLM with a BERT-sized text model: captions of images with a place for every word."""

from mmengine.config import read_base

with read_base():
    from .._base_.pixel_llm.trace import *
    from .._base_.pixel_llm.trace import assemble
    from .._base_.pixel_llm.bert import *
    from .._base_.runtime.default import *

model, train_dataloader, test_dataloader = assemble(text_args, parts, point_head)
del assemble
