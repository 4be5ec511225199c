"""F-LMM's official heads: U-Net with 64 base channels, SAM ViT-L."""

from flmm.models.mask_heads import UNetMaskHead
from flmm.models.mask_refiners import SAMRefiner

mask_head = dict(type=UNetMaskHead, base_channels=64, num_stages=4, upsample_to=64)
mask_refiner = dict(type=SAMRefiner, pretrained='facebook/sam-vit-large')
refiner_side = 1024
