"""Mask heads: attention maps of a phrase in, one coarse mask out."""

from .unet_mask_head import UNetMaskHead

__all__ = ['UNetMaskHead']
