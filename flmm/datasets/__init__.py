"""Datasets in their real formats, and how their samples are prepared and batched."""

from .base import GroundingDataset, PackedRecords
from .collate import grounding_collate
from .concat import ConcatGrounding
from .png import PNGDataset
from .refcoco import RefCOCODataset

__all__ = [
    'ConcatGrounding',
    'GroundingDataset',
    'PNGDataset',
    'PackedRecords',
    'RefCOCODataset',
    'grounding_collate',
]
