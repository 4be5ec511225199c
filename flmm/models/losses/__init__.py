"""Losses of masks."""

from .mask_losses import MaskLoss, mask_accuracy

__all__ = ['MaskLoss', 'mask_accuracy']
