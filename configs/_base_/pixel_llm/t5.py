"""PixelLLM's larger text model: Flan-T5-XL, frozen, with LoRA of rank 32 on queries and values."""

from mmengine.config import read_base

from flmm.models.mask_heads import PromptedMaskHead
from flmm.models.point_heads import MLPPointHead
from flmm.models.prompt_encoders import MaskPromptAdapter
from flmm.models.text_decoders import T5TextModel

with read_base():
    from .parts import *

tokenizer = 'google/flan-t5-xl'
special_ids = dict(begin_id=0, end_id=1, pad_id=0)
text_channels = 2048
# As BLIP-2 the context ends like a sentence.
end_context = True
text_args = dict(tokenizer=tokenizer, end_context=end_context, **special_ids)
parts = dict(vision, tokenizer=tokenizer, text_decoder=dict(type=T5TextModel, pretrained=tokenizer))
point_head = dict(type=MLPPointHead, in_channels=text_channels)
mask_head = dict(
    type=PromptedMaskHead,
    adapter=dict(type=MaskPromptAdapter, **adapter_sizes, text_channels=text_channels),
)
text_proposals = 32
