"""CoLLaVO on LLaVA-1.5-7B in 4 bits, step 2: dual QLoRA on instructions."""

from mmengine.config import read_base

from flmm.datasets.transforms import PrepareLMMInputs
from flmm.models.lmms import ConversationProcessor
from flmm.models.systems import CoLLaVO

with read_base():
    from .._base_.datasets.collavo_training import *
    from .._base_.datasets.crayon_pipeline import *
    from .._base_.datasets.vqa_benchmarks import *
    from .._base_.lmms.llava_1_5_7b import *
    from .._base_.recipes.dual_qlora import *
    from .._base_.runtime.default import *
    from .._base_.schedules.collavo import *

model = dict(
    type=CoLLaVO,
    lmm=dict(four_bit_base, lmm=lmm),
    tokenizer=lmm_path,
    crayon=crayon,
    adapters=dual_lora,
    gradient_checkpointing=True,
    weights_from='work_dirs/collavo_llava_1_5_7b_step1',
    **step_2,
)
processor = dict(
    type=ConversationProcessor, processor=lmm_processor, template='vicuna', max_length=2048
)
read = dict(type=PrepareLMMInputs, processor=processor)
pipeline = [*before_reading, read, add_crayon_map]
train_dataloader = dict(train_loader, dataset=dict(step_2_mixture, pipeline=pipeline))
read = dict(type=PrepareLMMInputs, processor=lmm_processor)
test_pipeline = [*before_question, read, add_crayon_map]
test_dataloader = {
    task: dict(loader, dataset=dict(loader['dataset'], pipeline=test_pipeline))
    for task, loader in benchmark_loaders.items()
}
