"""Systems: each one file of wiring over shared parts; none imports another."""

from .f_lmm import FLMM

__all__ = ['FLMM']
