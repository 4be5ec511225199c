"""CoLLaVO's schedule: AdamW, one epoch, cosine over all steps; batch 32 on 8 GPUs.

Step 2 (here) goes from 1e-5 to 1e-6, as the release's evaluation config and trainer have it, the
only values that the release holds. ``collavo_step1.py`` begins at 1e-4. That the two steps differ
so, and the batch of 32, we know second-hand of the paper; no released code confirms it. What is
ours: no warm-up.
"""

from mmengine.optim import CosineAnnealingLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch.optim import AdamW

max_epochs = 1
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-5, betas=(0.9, 0.999), weight_decay=0.0),
    clip_grad=dict(max_norm=10.0, error_if_nonfinite=False),
    accumulative_counts=1,
)
param_scheduler = [
    dict(
        type=CosineAnnealingLR,
        eta_min=1e-6,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=max_epochs)
