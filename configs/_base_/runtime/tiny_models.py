"""Logging of the trainings that make the tiny models of ``checkpoints/``."""

from mmengine.hooks import IterTimerHook, LoggerHook, ParamSchedulerHook

default_scope = 'flmm'
# The exported folder is the checkpoint: a training this short is not resumed.
default_hooks = dict(
    runtime_info=dict(type='mmengine.RuntimeInfoHook'),
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=None,
    sampler_seed=None,
)
log_processor = dict(by_epoch=False, window_size=50)
randomness = dict(seed=0)
