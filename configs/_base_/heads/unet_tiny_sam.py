"""Heads of the toy world: a small U-Net, the shipped tiny SAM (checkpoints/tiny_sam/README.md)."""

from flmm.models.mask_heads import UNetMaskHead
from flmm.models.mask_refiners import SAMRefiner

mask_head = dict(type=UNetMaskHead, base_channels=16, num_stages=3, upsample_to=32)
mask_refiner = dict(type=SAMRefiner, pretrained='checkpoints/tiny_sam')
refiner_side = 128
