"""Parts of a PixelLLM on the tiny LLaVA, which brings its own eyes and words to the toy world."""

from mmengine.config import read_base

from flmm.models.image_encoders import LMMImageEncoder
from flmm.models.point_heads import AttentionPointHead
from flmm.models.text_decoders import LMMTextDecoder

with read_base():
    from ..lmms.tiny_llava import *
    from .toy_parts import *

# Layers of 160 channels, and 8 numbers for each attention map of a word.
_channels = 5 * 160 + 8 * num_maps
# Not update(), which would merge two configs of encoders.
parts['image_encoders'] = [dict(type=LMMImageEncoder, lmm=lmm), parts['image_encoders'][1]]
parts['text_decoder'] = dict(
    type=LMMTextDecoder,
    lmm=lmm,
    tokenizer=tokenizer,
    visual_channels=128,
    layers=(0, 1, 2, 3, 4),
    attention=True,
    maps=True,
    learn_cells=False,
    max_length=128,
    **special_ids,
)
# The LLaVA's own tokens stand before those of a place, so a few of these do.
parts.update(cells_encoder=0, relative_to='canvas', autocast=True)
parts['prompt_extractor'].update(image_channels=160 + 96, num_outputs=16)
point_head = dict(type=AttentionPointHead, in_channels=_channels, num_maps=num_maps)
box_head['pyramid'].update(in_channels=160 + 96)
mask_head['adapter'].update(text_channels=_channels)
del _channels
