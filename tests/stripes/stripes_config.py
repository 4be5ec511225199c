from mmengine.dataset import DefaultSampler
from stripes_parts import HalfRight, NoLMM, Stripes

from flmm.datasets import ConcatGrounding, grounding_collate
from flmm.evaluation.metrics import PNGMetric, RESMetric

model = dict(type=HalfRight)
pipeline = [dict(type=NoLMM)]
loader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=grounding_collate),
)
train_dataloader = dict(
    loader,
    dataset=dict(type=ConcatGrounding, datasets=[dict(type=Stripes, count=3)], pipeline=pipeline),
)
# Five stripes of 2, 4, 6, 8, 10 columns; the second task misses the third of them.
test_dataloader = dict(
    res=dict(loader, dataset=dict(type=Stripes, count=5, pipeline=pipeline)),
    png=dict(loader, dataset=dict(type=Stripes, count=5, skip=[2], pipeline=pipeline)),
)
test_evaluator = dict(
    res=[dict(type=RESMetric), dict(type=RESMetric, source='coarse_masks')],
    png=[dict(type=PNGMetric)],
)
