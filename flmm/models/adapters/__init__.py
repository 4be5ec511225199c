"""Small trainable parts beside a frozen LMM: bottleneck adapters, LoRA, rows of new tokens."""

from .base import Adapters
from .bottleneck import BottleneckAdapter, BottleneckAdapters
from .dual_lora import DualLoRA
from .lora import LoRAAdapters
from .plora import ImageTokens, LowRank, PLoRALinear, freeze_base, without_crayon
from .released_lora import ReleasedLoRA
from .token_rows import TokenRows

__all__ = [
    'Adapters',
    'BottleneckAdapter',
    'BottleneckAdapters',
    'DualLoRA',
    'ImageTokens',
    'LoRAAdapters',
    'LowRank',
    'PLoRALinear',
    'ReleasedLoRA',
    'TokenRows',
    'freeze_base',
    'without_crayon',
]
