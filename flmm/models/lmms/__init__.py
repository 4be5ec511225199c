"""LMMs: the contract, row capture, transformers' models, and the processor half."""

from .base import BaseLMM
from .hf import HFLMM


__all__ = ['BaseLMM', 'HFLMM']
