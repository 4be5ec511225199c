"""The shipped tiny LLaVA for conversations about regions."""

from mmengine.config import read_base

from flmm.models.lmms import ConversationProcessor

with read_base():
    from .tiny_llava import *

processor = dict(
    type=ConversationProcessor,
    processor=lmm_processor,
    # The layout that the tiny LLaVA was trained with, over several turns.
    template=dict(
        before_request='USER: ', after_request=' ', before_answer='ASSISTANT: ', after_answer=' '
    ),
    # The language model has no row for a new token; its own is never read.
    region_token_id=0,
    max_length=768,
)
# 6 layers; LLaVA reads the fifth. Each further level doubles the side of the largest map.
levels = (4, 5)
