"""Mask refiners: image, coarse mask and words in, sharp mask out."""

from .sam_refiner import SAMRefiner

__all__ = ['SAMRefiner']
