from mmengine.dataset import DefaultSampler, default_collate
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from tiny_training import Numbers, TinyModel
from torch.optim import AdamW

from flmm.engine.hooks import AtomicCheckpointHook
from flmm.engine.runner import FLMMRunner

runner_type = FLMMRunner
model = dict(type=TinyModel, fail_at=None)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    collate_fn=dict(type=default_collate),
    dataset=dict(type=Numbers),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=0.1))
param_scheduler = [dict(type=LinearLR, start_factor=0.1, begin=0, end=4, by_epoch=False)]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=4)
default_hooks = dict(
    checkpoint=dict(type=AtomicCheckpointHook, interval=1, by_epoch=False, max_keep_ckpts=3)
)
randomness = dict(seed=7)
