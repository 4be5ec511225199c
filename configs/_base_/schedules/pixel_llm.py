"""PixelLLM's schedules by experiment: AdamW, linear warm-up, cosine to 0.

``batch_size`` is that of all processes together; the loaders take an eighth of it (8 GPUs).
"""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch.optim import AdamW

experiments = dict(
    trace=dict(steps=10_000, batch_size=256, lr=5e-5, warmup=250),
    ref=dict(steps=120_000, batch_size=64, lr=5e-5, warmup=1000),
    refseg=dict(steps=60_000, batch_size=64, lr=5e-5, warmup=500),
    densecap=dict(steps=40_000, batch_size=64, lr=1e-4, warmup=1000, decays=True),
    joint=dict(steps=240_000, batch_size=128, lr=1e-4, warmup=2000, decays=True),
    joint_refseg=dict(steps=30_000, batch_size=128, lr=1e-4, warmup=250),
)
# Layer i of EVA-02's 24 learns 0.8 ** (24 - i) times as fast as what stands on it.
_tower = 'image_encoders.0.vit.'
_layer_decay = {
    **{f'{_tower}blocks.{i}.': dict(lr_mult=0.8 ** (24 - i)) for i in range(24)},
    **{f'{_tower}{part}': dict(lr_mult=0.8**25) for part in ('patch_embed', 'pos_embed', 'cls_')},
}
_adapter = {'mask_head.adapter': dict(lr_mult=10.0)}
optim_wrappers, schedulers, train_cfgs, batch_sizes = {}, {}, {}, {}
for _name, _x in experiments.items():
    _decays = _x.get('decays', False)
    optim_wrappers[_name] = dict(
        type=OptimWrapper,
        optimizer=dict(
            type=AdamW, lr=_x['lr'], betas=(0.9, 0.999), weight_decay=0.05 if _decays else 0.0
        ),
        clip_grad=dict(max_norm=1.0, error_if_nonfinite=False),
        paramwise_cfg=dict(
            norm_decay_mult=0.0,
            bias_decay_mult=0.0,
            custom_keys=_layer_decay if _decays else (_adapter if _name == 'refseg' else {}),
        ),
    )
    schedulers[_name] = [
        dict(type=LinearLR, start_factor=1e-4, by_epoch=False, begin=0, end=_x['warmup']),
        dict(
            type=CosineAnnealingLR,
            eta_min=0.0,
            by_epoch=False,
            begin=_x['warmup'],
            end=_x['steps'],
        ),
    ]
    train_cfgs[_name] = dict(type=IterBasedTrainLoop, max_iters=_x['steps'])
    batch_sizes[_name] = _x['batch_size'] // 8
del _name, _x, _decays, _tower, _layer_decay, _adapter
