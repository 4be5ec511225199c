"""How each kind of PixelLLM's data is read; an experiment adds its text model (``words``)."""

from mmengine.dataset import DefaultSampler

from flmm.datasets import grounding_collate
from flmm.datasets.transforms import LoadImage, LoadMasks, PrepareCaptions, WriteTurns
from flmm.evaluation.metrics import (
    CaptionMetric,
    DenseCaptionMetric,
    HeadBoxes,
    PlacedCaptionMetric,
    RECMetric,
    RESMetric,
    WordLocationMetric,
)

load, load_masks, write_turns = dict(type=LoadImage), dict(type=LoadMasks), dict(type=WriteTurns)
prepare = dict(type=PrepareCaptions, image_size=384)
# The project's own wording of what is said before a text.
caption_args = dict(source='caption', context='In short: ', scale_range=(0.75, 1.25))
narrative_args = dict(source='narrative', context='At length: ')
reference_args = dict(
    source='expressions', context='Find {text}', max_texts=16, scale_range=(0.75, 1.25)
)
region_args = dict(source='regions', context='This shows ', max_texts=100, scale_range=(0.75, 1.25))
answer_args = dict(source='answers', context='Q: {context} A: ', scale_range=(0.75, 1.25))
plain = dict(scale_range=(1.0, 1.0))
workers = dict(num_workers=4, persistent_workers=True, collate_fn=dict(type=grounding_collate))
test_loader = dict(workers, batch_size=8, sampler=dict(type=DefaultSampler, shuffle=False))
rec_metric = dict(type=RECMetric, reader=dict(type=HeadBoxes), strict=True)
res_metric = dict(type=RESMetric)
trace_metric = dict(type=WordLocationMetric)
dense_metric = dict(type=DenseCaptionMetric)
region_metric = dict(type=PlacedCaptionMetric)
caption_metric = dict(type=CaptionMetric)
