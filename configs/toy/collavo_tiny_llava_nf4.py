"""Dual QLoRA: ``collavo_tiny_llava.py`` on a base of 4 bits (NF4).

So narrow a network loses much by 4 bits, which the LoRAs have to make up for: it takes more steps,
with which ``collavo_tiny_llava.py`` has to be compared.
"""

from mmengine.config import read_base

with read_base():
    from .collavo_tiny_llava import *

model = dict(model, lmm=dict(four_bit_base, lmm=lmm))
max_iters = 1500
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
