"""Text models that read visual tokens and write captions."""

from .lmm_text_decoder import LMMTextDecoder
from .prefix_text_decoder import PrefixTextDecoder
from .t5_text_model import T5TextModel
from .visual_projection import VisualProjection
from .word_decoder import WordDecoder

__all__ = [
    'LMMTextDecoder',
    'PrefixTextDecoder',
    'T5TextModel',
    'VisualProjection',
    'WordDecoder',
]
