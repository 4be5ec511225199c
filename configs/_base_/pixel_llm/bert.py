"""PixelLLM's smaller text model: GIT's, of BERT's size and vocabulary."""

from mmengine.config import read_base

from flmm.models.mask_heads import PromptedMaskHead
from flmm.models.point_heads import MLPPointHead
from flmm.models.prompt_encoders import MaskPromptAdapter
from flmm.models.text_decoders import PrefixTextDecoder

with read_base():
    from .parts import *

tokenizer = 'bert-base-uncased'
special_ids = dict(begin_id=101, end_id=102, pad_id=0)
text_channels = 768
end_context = False
text_args = dict(tokenizer=tokenizer, end_context=end_context, **special_ids)
parts = dict(vision, tokenizer=tokenizer, text_decoder=dict(type=PrefixTextDecoder))
point_head = dict(type=MLPPointHead, in_channels=text_channels)
mask_head = dict(
    type=PromptedMaskHead,
    adapter=dict(type=MaskPromptAdapter, **adapter_sizes, text_channels=text_channels),
)
text_proposals = 64
