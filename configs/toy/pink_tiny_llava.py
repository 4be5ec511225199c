"""Pink on the toy world: the tiny LLaVA learns to write and read coordinates."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler

from flmm.datasets import Mixture, grounding_collate
from flmm.datasets.transforms import LoadImage, PrepareDialogue, WriteTurns
from flmm.models.systems import Pink

with read_base():
    from .._base_.datasets.toy_pink import *
    from .._base_.lmms.pink_tiny_llava import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_muon import *

model = dict(
    type=Pink,
    lmm=lmm,
    tokenizer=tokenizer,
    adapters=adapters,
    token_rows=token_rows,
    max_new_tokens=40,
    autocast=True,
    turns_apart=True,
)
max_iters = 4000
writing = dict(type=WriteTurns, dialect=dialect, questions=questions)
train_pipeline = [
    dict(type=LoadImage),
    writing,
    dict(type=PrepareDialogue, processor=dict(dialogue_processor, with_labels=True)),
]
inference_pipeline = [
    dict(type=LoadImage),
    dict(writing, choose='first'),
    dict(type=PrepareDialogue, processor=dialogue_processor),
]
_loader = dict(num_workers=0, collate_fn=dict(type=grounding_collate))
train_dataloader = dict(
    _loader,
    # Leaving plateaus takes steps rather than samples.
    batch_size=4,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        type=Mixture, datasets=train_datasets, weights=train_weights, pipeline=train_pipeline
    ),
)
test_dataloader = {
    task: dict(
        _loader,
        batch_size=32,
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=dict(dataset, pipeline=inference_pipeline),
    )
    for task, dataset in test_datasets.items()
}
# Rows of new words start at the mean of the others: at the rate of the rest they take long to part.
optim_wrapper.update(
    optimizer=dict(lr=5e-3, muon_lr=1e-2, betas=(0.9, 0.98), weight_decay=0.01),
)
train_cfg.update(max_iters=max_iters)
param_scheduler[1].update(end=max_iters)
# The one after 500 steps captions boxes for the bootstrapping: later ones make too few mistakes.
default_hooks['checkpoint'].update(max_keep_ckpts=-1)
# What reads the boxes of tools/bootstrap.py.
box_reader = test_evaluator['rec_refcoco'][0]['reader']
del _loader
