"""Image encoders of systems that have no LMM's tower: pixels in, a grid of features out."""

from .clip_tower import CLIPTowerEncoder
from .eva02 import EVA02Encoder
from .features import content_origins, content_shapes, fuse_features, normalise_images
from .lmm_encoder import LMMImageEncoder
from .sam_encoder import SAMImageEncoder
from .sam_weights import load_sam

__all__ = [
    'CLIPTowerEncoder',
    'EVA02Encoder',
    'LMMImageEncoder',
    'SAMImageEncoder',
    'content_origins',
    'content_shapes',
    'fuse_features',
    'load_sam',
    'normalise_images',
]
