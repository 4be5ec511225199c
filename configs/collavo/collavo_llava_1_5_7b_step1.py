"""CoLLaVO on LLaVA-1.5-7B in 4 bits, step 1: the crayon prompt on questions about objects."""

from mmengine.config import read_base

from flmm.datasets.transforms import PrepareLMMInputs
from flmm.models.lmms import ConversationProcessor
from flmm.models.systems import CoLLaVO

with read_base():
    from .._base_.datasets.collavo_training import *
    from .._base_.datasets.crayon_pipeline import *
    from .._base_.lmms.llava_1_5_7b import *
    from .._base_.recipes.dual_qlora import *
    from .._base_.runtime.default import *
    from .._base_.schedules.collavo_step1 import *

model = dict(
    type=CoLLaVO,
    lmm=dict(four_bit_base, lmm=lmm),
    tokenizer=lmm_path,
    crayon=crayon,
    adapters=dual_lora,
    gradient_checkpointing=True,
    **step_1,
)
processor = dict(
    type=ConversationProcessor, processor=lmm_processor, template='vicuna', max_length=2048
)
read = dict(type=PrepareLMMInputs, processor=processor)
pipeline = [*before_reading, read, add_crayon_map]
train_dataloader = dict(train_loader, dataset=dict(panoptic_questions, pipeline=pipeline))
