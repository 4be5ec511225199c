"""Schedule of the PixelLLMs on the tiny LLaVA: pretrained words, so few steps do."""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch.optim import AdamW

max_iters = 500
warmup_iters = 30
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01),
    clip_grad=dict(max_norm=1.0, error_if_nonfinite=False),
    # The language model knows the toy world already; what is new learns fast.
    paramwise_cfg=dict(
        custom_keys={
            'text_decoder.decoder': dict(lr_mult=0.3),
            'text_decoder.output': dict(lr_mult=0.3),
        }
    ),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-2, by_epoch=False, begin=0, end=warmup_iters),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=max_iters)
