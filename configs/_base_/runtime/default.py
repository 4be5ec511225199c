"""Logging, checkpoints and hooks of every experiment."""

from mmengine.hooks import DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend, Visualizer

from flmm.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from flmm.engine.hooks.data_watchdog_hook import DataWatchdogHook
from flmm.engine.hooks.dataset_epoch_hook import DatasetEpochHook
from flmm.engine.hooks.finite_weights_hook import FiniteWeightsHook
from flmm.engine.hooks.loss_spike_hook import LossSpikeHook
from flmm.engine.hooks.progress_hook import ProgressHook
from flmm.engine.hooks.skipped_sample_hook import SkippedSampleHook
from flmm.engine.hooks.throughput_hook import ThroughputHook
from flmm.engine.loops import MultiTaskTestLoop
from flmm.engine.runner import FLMMRunner
from flmm.engine.step_guard import StepGuard

runner_type = FLMMRunner
# DDP: which parts run depends on the batch (one without a phrase runs no head), and some outputs
# are in no loss (SAM's guess of its IoU).
find_unused_parameters = True
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
    throughput=dict(type=ThroughputHook),
    progress=dict(type=ProgressHook),
    loss_spike=dict(type=LossSpikeHook),
    data_watchdog=dict(type=DataWatchdogHook),
    finite_weights=dict(type=FiniteWeightsHook),
)
# NaN and infinity: the step is skipped and counted; out of memory: once more in halves.
step_guard = dict(type=StepGuard, on_nonfinite='skip', on_out_of_memory='split')
visualizer = dict(
    type=Visualizer,
    vis_backends=[dict(type=LocalVisBackend), dict(type=TensorboardVisBackend)],
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
