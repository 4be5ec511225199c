"""Models, data and configs of the trainings in `lab.py`."""

import random

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.hooks import LoggerHook
from mmengine.model import BaseModel
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn
from torch.optim import AdamW

from flmm.engine.hooks.checkpoint_hook import AtomicCheckpointHook


class NoisyNumbers(torch.utils.data.Dataset):
    """Samples with noise of all three generators, as random augmentations draw it."""

    def __init__(self, count=64, noise=True):
        self.count, self.noise = count, noise

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        x = torch.linspace(-1, 1, 6) * (index + 1) / self.count
        if self.noise:
            x = x + 0.1 * random.random() + 0.1 * float(np.random.rand()) + 0.1 * torch.rand(6)
        return {'x': x, 'y': x.flip(0) ** 2, 'id': index}


def collate(samples):
    return {
        'x': torch.stack([s['x'] for s in samples]),
        'y': torch.stack([s['y'] for s in samples]),
        'ids': [s['id'] for s in samples],
    }


class SmallNet(BaseModel):
    """A frozen bf16 layer, two trained ones with dropout between."""

    def __init__(self, dropout=0.1):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.frozen = nn.Linear(6, 16, dtype=torch.bfloat16)
        self.frozen.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(16, 33), nn.Tanh(), nn.Dropout(dropout))
        self.out = nn.Linear(33, 6)
        self.scale = nn.Parameter(torch.ones(1))
        for parameter in self.parameters():
            values = torch.rand(parameter.shape, generator=generator) - 0.5
            parameter.data.copy_(values)

    def forward(self, x, y, ids=(), mode='tensor'):
        features = self.frozen(x.bfloat16()).to(self.out.weight.dtype)
        out = self.out(self.head(features)) * self.scale
        loss = (out.float() - y).square().mean()
        return {'loss': loss} if mode == 'loss' else [loss]


ZERO = {
    'train_micro_batch_size_per_gpu': 'auto',
    'gradient_accumulation_steps': 'auto',
    'zero_allow_untested_optimizer': True,
}


def config_of(job):
    """The config of a job, as a config file and xtuner's options would give it."""
    accumulation = job.get('accumulation', 1)
    optimizer = dict(
        type=AdamW, lr=0.02, weight_decay=job.get('weight_decay', 0.01), eps=job.get('eps', 1e-8)
    )
    by_epoch = job.get('epochs') is not None
    infinite = job.get('infinite', not by_epoch)
    cfg = dict(
        default_scope='flmm',
        work_dir=job['work_dir'],
        model=dict(type=SmallNet, dropout=job.get('dropout', 0.1)),
        train_dataloader=dict(
            batch_size=job.get('batch', 2),
            num_workers=job.get('workers', 0),
            collate_fn=dict(type=collate),
            dataset=dict(
                type=NoisyNumbers, count=job.get('count', 64), noise=job.get('noise', True)
            ),
            sampler=dict(type=InfiniteSampler if infinite else DefaultSampler, shuffle=True),
        ),
        optim_wrapper=dict(
            type=OptimWrapper,
            optimizer=optimizer,
            clip_grad=dict(max_norm=1.0),
            accumulative_counts=accumulation,
        ),
        param_scheduler=[dict(type=LinearLR, start_factor=0.1, begin=0, end=8, by_epoch=False)],
        train_cfg=dict(type=EpochBasedTrainLoop, max_epochs=job['epochs'])
        if by_epoch
        else dict(type=IterBasedTrainLoop, max_iters=job.get('steps', 12)),
        default_hooks=dict(
            logger=dict(type=LoggerHook, interval=10**6, log_metric_by_epoch=False),
            checkpoint=dict(
                type=AtomicCheckpointHook,
                interval=job.get('interval', 4),
                by_epoch=False,
                max_keep_ckpts=job.get('keep', 1),
                on_write_error=job.get('on_write_error', 'stop'),
            ),
        ),
        env_cfg=dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0)),
        randomness=dict(seed=job.get('seed', 3)),
        log_level='ERROR',
        resume=bool(job.get('resume')),
    )
    if isinstance(job.get('resume'), str):
        cfg['load_from'] = job['resume']
    if job['strategy'].startswith('zero'):
        stage = int(job['strategy'][-1])
        zero = dict(stage=stage, overlap_comm=False)
        if stage == 3:
            zero['stage3_param_persistence_threshold'] = job.get('persist', 40)
        options = dict(ZERO, zero_optimization=zero)
        if job.get('bf16'):
            options['bf16'] = dict(enabled=True)
        cfg['strategy'] = dict(
            type='DeepSpeedStrategy',
            config=options,
            gradient_accumulation_steps=accumulation,
            train_micro_batch_size_per_gpu=job.get('batch', 2),
            gradient_clipping=1.0,
        )
        cfg['optim_wrapper'] = dict(type='DeepSpeedOptimWrapper', optimizer=optimizer)
    cfg = Config(cfg, format_python_code=False)
    if job.get('model') == 'f_lmm':
        from lab_f_lmm import adapt

        adapt(cfg, job)
    elif job.get('model') in ('adapters', 'trained'):
        from lab_layers import AdaptedNet

        cfg.model = dict(type=AdaptedNet, adapters=job['model'] == 'adapters')
    elif job.get('model') == 'crossed':
        from lab_layers import Crossed

        cfg.model = dict(type=Crossed)
    return cfg
