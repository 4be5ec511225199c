"""Hooks of flmm."""

from .checkpoint_hook import AtomicCheckpointHook
from .gallery_hook import GalleryHook
from .skipped_sample_hook import SkippedSampleHook

__all__ = ['AtomicCheckpointHook', 'GalleryHook', 'SkippedSampleHook']
