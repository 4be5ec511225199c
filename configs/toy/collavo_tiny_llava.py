"""CoLLaVO on the tiny LLaVA and the toy world: crayon prompt and dual LoRA on a frozen bf16 base.

Both steps at once: which shape lies in a box, where a shape is, whether there is one. The maps
are those of the annotations.
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler

from flmm.datasets import grounding_collate
from flmm.datasets.transforms import PrepareLMMInputs
from flmm.engine.hooks.frozen_weights_hook import FrozenWeightsHook
from flmm.models.systems import CoLLaVO

with read_base():
    from .._base_.datasets.toy_crayon import *
    from .._base_.lmms.tiny_llava import *
    from .._base_.recipes.dual_qlora import *
    from .._base_.runtime.default import *
    from .._base_.schedules.toy_heads import *

# On CPUs the backward of SDPA is slow for short sequences.
lmm.update(dtype='bfloat16', attention='eager')
crayon = dict(embed_channels=64, num_classes=12, max_instances=6)
model = dict(
    type=CoLLaVO,
    lmm=lmm,
    tokenizer=lmm_path,
    crayon=crayon,
    adapters=dict(dual_lora, rank=32, dropout=0.0),
    turns_apart=True,
    max_new_tokens=8,
    **step_2,
)
read = dict(type=PrepareLMMInputs, processor=dict(conversation, processor=lmm_processor))
ask = dict(type=PrepareLMMInputs, processor=lmm_processor)
_loader = dict(num_workers=0, collate_fn=dict(type=grounding_collate))
train_dataloader = dict(
    _loader,
    batch_size=4,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        train_dataset,
        pipeline=[
            load_image,
            load_panoptic['train'],
            blur,
            write_turns,
            name_image,
            read,
            add_crayon_map,
        ],
    ),
)
_seen = [load_image, load_panoptic['val'], blur]
_talk = [*_seen, write_turns, name_image, open_last, read, add_crayon_map]
_pope = [*_seen, ask, add_crayon_map]
test_datasets = dict(
    pope=dict(pope_dataset, pipeline=_pope),
    **{task: dict(dataset, pipeline=_talk) for task, dataset in talk_datasets.items()},
)
test_dataloader = {
    task: dict(
        _loader,
        batch_size=16,
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=dataset,
    )
    for task, dataset in test_datasets.items()
}
max_iters = 1000
train_cfg.update(max_iters=max_iters)
optim_wrapper['optimizer'].update(lr=2e-3, weight_decay=0.0)
param_scheduler[1].update(end=max_iters)
custom_hooks = [dict(type=FrozenWeightsHook)]
del _loader, _seen, _talk, _pope
