"""PaliGemma-2-3B finds objects by expressions: its boxes are read from the text.

"detect" asks for location tokens, as it was trained.

python tools/test.py configs/vqa/paligemma2_3b_rec.py --task refcoco
"""

from mmengine.config import read_base

from flmm.datasets.transforms import LoadImage, PrepareLMMInputs, TurnAsPrompt, WriteTurns
from flmm.evaluation.metrics import RECMetric, TextBoxes
from flmm.models.systems import QuestionAnswering

with read_base():
    from .._base_.datasets.referring_boxes import *
    from .._base_.lmms.paligemma2_3b import *
    from .._base_.runtime.default import *

model = dict(type=QuestionAnswering, lmm=lmm, tokenizer=lmm_path, max_new_tokens=64)
question = {'grounding': ['detect {expr}']}
pipeline = [
    dict(type=LoadImage),
    dict(type=WriteTurns, questions=question, marks=False),
    dict(type=TurnAsPrompt, image='<image>'),
    dict(type=PrepareLMMInputs, processor=lmm_processor),
]
test_dataloader = {
    task: dict(loader, dataset=dict(loader['dataset'], pipeline=pipeline))
    for task, loader in rec_loaders.items()
}
reader = dict(type=TextBoxes, dialect='loc')
test_evaluator = {task: [dict(type=RECMetric, reader=reader, prefix=task)] for task in rec_loaders}
