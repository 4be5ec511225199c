"""Mask heads: attention maps of a phrase in, one coarse mask out."""

from .prompted_mask_head import PromptedMaskHead
from .unet_mask_head import UNetMaskHead

__all__ = ['PromptedMaskHead', 'UNetMaskHead']
