"""Point heads: hidden states of words in, locations in the image out."""

from .attention_places import attention_places
from .attention_point_head import AttentionPointHead
from .mlp_point_head import MLPPointHead
from .token_selection import select_tokens
from .word_rules import WordRules
from .word_targets import word_point_targets

__all__ = [
    'AttentionPointHead',
    'MLPPointHead',
    'WordRules',
    'attention_places',
    'select_tokens',
    'word_point_targets',
]
