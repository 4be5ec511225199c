"""Logging, checkpoints and hooks of every experiment."""

from mmengine.hooks import DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook

from flmm.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from flmm.engine.hooks.dataset_epoch_hook import DatasetEpochHook
from flmm.engine.hooks.skipped_sample_hook import SkippedSampleHook
from flmm.engine.loops import MultiTaskTestLoop
from flmm.engine.runner import FLMMRunner

runner_type = FLMMRunner
default_scope = 'flmm'
test_cfg = dict(type=MultiTaskTestLoop)
default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, log_metric_by_epoch=False, interval=10),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=AtomicCheckpointHook, by_epoch=False, interval=500, max_keep_ckpts=1),
    sampler_seed=dict(type=DistSamplerSeedHook),
    skipped=dict(type=SkippedSampleHook),
    dataset_epoch=dict(type=DatasetEpochHook),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
randomness = dict(seed=0, deterministic=False)
load_from = None
resume = False
