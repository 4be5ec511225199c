"""The released CoLLaVO-7B on the twelve benchmarks.

python tools/test.py configs/collavo/collavo_7b_benchmarks.py --task pope,mme,gqa
"""

from mmengine.config import read_base

from flmm.datasets.transforms import LoadImage, PrepareLMMInputs
from flmm.models.systems import QuestionAnswering

with read_base():
    from .._base_.datasets.crayon_pipeline import *
    from .._base_.datasets.vqa_benchmarks import *
    from .._base_.lmms.collavo_7b import *
    from .._base_.runtime.default import *

model = dict(type=QuestionAnswering, lmm=lmm, tokenizer=tokenizer, stop=stop)
pipeline = [
    dict(type=LoadImage),
    load_panoptic,
    describe_segments,
    dict(type=PrepareLMMInputs, processor=lmm_processor),
    add_crayon_map,
]
test_dataloader = {
    task: dict(loader, dataset=dict(loader['dataset'], pipeline=pipeline))
    for task, loader in benchmark_loaders.items()
}
