"""LLaVA-1.5-7B on the twelve benchmarks; another LMM is another fragment in the first line.

python tools/test.py configs/vqa/llava_1_5_7b_benchmarks.py --task pope,mme,gqa
"""

from mmengine.config import read_base

from flmm.datasets.transforms import LoadImage, PrepareLMMInputs
from flmm.models.systems import QuestionAnswering

with read_base():
    from .._base_.datasets.vqa_benchmarks import *
    from .._base_.lmms.llava_1_5_7b import *
    from .._base_.runtime.default import *

model = dict(type=QuestionAnswering, lmm=lmm, tokenizer=lmm_path)
pipeline = [dict(type=LoadImage), dict(type=PrepareLMMInputs, processor=lmm_processor)]
test_dataloader = {
    task: dict(loader, dataset=dict(loader['dataset'], pipeline=pipeline))
    for task, loader in benchmark_loaders.items()
}
