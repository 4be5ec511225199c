"""Qwen3-VL-8B finds objects by expressions: its boxes are read from the text.

It counts thousandths of the image. The question is in our own words; scores depend on it.

python tools/test.py configs/vqa/qwen3_vl_8b_rec.py --task refcoco
"""

from mmengine.config import read_base

from flmm.datasets.transforms import LoadImage, PrepareLMMInputs, TurnAsPrompt, WriteTurns
from flmm.evaluation.metrics import RECMetric, TextBoxes
from flmm.models.systems import QuestionAnswering

with read_base():
    from .._base_.datasets.referring_boxes import *
    from .._base_.lmms.qwen3_vl_8b import *
    from .._base_.runtime.default import *

model = dict(type=QuestionAnswering, lmm=lmm, tokenizer=lmm_path, max_new_tokens=64)
question = {'grounding': ['Where is {expr}? Give its bounding box as coordinates.']}
pipeline = [
    dict(type=LoadImage),
    dict(type=WriteTurns, questions=question, marks=False),
    dict(type=TurnAsPrompt),
    dict(type=PrepareLMMInputs, processor=lmm_processor),
]
test_dataloader = {
    task: dict(loader, dataset=dict(loader['dataset'], pipeline=pipeline))
    for task, loader in rec_loaders.items()
}
reader = dict(type=TextBoxes, dialect='thousand')
test_evaluator = {task: [dict(type=RECMetric, reader=reader, prefix=task)] for task in rec_loaders}
