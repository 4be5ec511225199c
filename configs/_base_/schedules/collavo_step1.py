"""CoLLaVO's schedule of step 1: as that of step 2, but from 1e-4 (second-hand of the paper)."""

from mmengine.config import read_base

with read_base():
    from .collavo import *

optim_wrapper.update(optimizer=dict(optim_wrapper['optimizer'], lr=1e-4))
