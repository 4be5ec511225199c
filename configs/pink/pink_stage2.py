"""Pink, stage 2 (Pink_Base): adapters, projector and mark tokens; batch 32 on 8 GPUs.

It starts from stage 1's work dir; another place of the projector (also a release's file) with
``--cfg-options model.projector_from=...``. Evaluate with tools/test.py, the released weights too.
"""

from mmengine.config import read_base

from flmm.models.systems import Pink

with read_base():
    from .._base_.datasets.pink_instructions import *
    from .._base_.datasets.pink_pipelines import *
    from .._base_.datasets.pink_tests import *
    from .._base_.runtime.default import *
    from .._base_.schedules.pink import *

model = dict(
    type=Pink,
    lmm=lmm,
    tokenizer=tokenizer,
    adapters=adapters,
    token_rows=token_rows,
    projector_from='work_dirs/pink_stage1',
)
train_dataloader.update(dataset=dict(train_dataloader['dataset'], datasets=stage2_datasets))
test_dataloader = {
    task: dict(test_loader, dataset=dict(dataset, pipeline=inference_pipeline))
    for task, dataset in test_datasets.items()
}
train_cfg = train_cfgs['stage2']
optim_wrapper = optim_wrappers['stage2']
param_scheduler = schedulers['stage2']
