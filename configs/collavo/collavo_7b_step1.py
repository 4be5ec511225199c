"""The released CoLLaVO-7B trained on, in 4 bits, step 1: crayon prompt, questions on objects."""

from mmengine.config import read_base

from flmm.datasets.transforms import PrepareLMMInputs
from flmm.models.adapters import ReleasedLoRA
from flmm.models.lmms import ConversationProcessor
from flmm.models.systems import CoLLaVO

with read_base():
    from .._base_.datasets.collavo_training import *
    from .._base_.datasets.crayon_pipeline import *
    from .._base_.lmms.collavo_7b import *
    from .._base_.recipes.dual_qlora import *
    from .._base_.runtime.default import *
    from .._base_.schedules.collavo_step1 import *

model = dict(
    type=CoLLaVO,
    lmm=dict(four_bit_base, lmm=lmm),
    tokenizer=tokenizer,
    adapters=dict(type=ReleasedLoRA),
    gradient_checkpointing=True,
    stop=stop,
    **step_1,
)
processor = dict(
    type=ConversationProcessor, processor=lmm_processor, template='collavo', max_length=4096
)
read = dict(type=PrepareLMMInputs, processor=processor)
pipeline = [*before_reading, read, add_crayon_map]
train_dataloader = dict(train_loader, dataset=dict(panoptic_questions, pipeline=pipeline))
