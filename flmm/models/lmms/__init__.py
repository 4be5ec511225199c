"""LMMs: the contract, row capture, transformers' models, and the processor half."""

from .base import BaseLMM
from .hf import HFLMM
from .image_processors import (
    AnyResImageProcessor,
    ImageProcessor,
    ImageTensors,
    PadOnlyImageProcessor,
    PadToSquareImageProcessor,
)
from .processor import LMMProcessor

__all__ = [
    'AnyResImageProcessor',
    'BaseLMM',
    'HFLMM',
    'ImageProcessor',
    'ImageTensors',
    'LMMProcessor',
    'PadOnlyImageProcessor',
    'PadToSquareImageProcessor',
]
