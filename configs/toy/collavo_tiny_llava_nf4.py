"""Dual QLoRA: ``collavo_tiny_llava.py`` on a base of 4 bits (NF4)."""

from mmengine.config import read_base

with read_base():
    from .collavo_tiny_llava import *

model = dict(model, lmm=dict(four_bit_base, lmm=lmm))
