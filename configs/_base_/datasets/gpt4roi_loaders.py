"""Loaders, steps and scores of region conversations; a leaf adds datasets and the processor."""

from mmengine.dataset import DefaultSampler

from flmm.datasets import ConcatGrounding, grounding_collate
from flmm.datasets.transforms import LoadImage, LoadRegions, PrepareChoices, PrepareLMMInputs
from flmm.evaluation.metrics import CaptionMetric, VCRMetric

loader = dict(
    batch_size=2, num_workers=4, persistent_workers=True, collate_fn=dict(type=grounding_collate)
)
train_sampler = dict(type=DefaultSampler, shuffle=True)
test_sampler = dict(type=DefaultSampler, shuffle=False)
train_loader = dict(loader, sampler=train_sampler)
test_loader = dict(loader, sampler=test_sampler)
loading = [dict(type=LoadImage), dict(type=LoadRegions)]
reading = dict(type=PrepareLMMInputs)
weighing = dict(type=PrepareChoices)
concat = dict(type=ConcatGrounding)
# METEOR needs Java, which takes a while to start; meteor_stems, the project's own, is lower.
caption_metric = dict(type=CaptionMetric, metrics=('bleu', 'rouge_l', 'cider', 'meteor_stems'))
published_caption_metric = dict(caption_metric, metrics=(*caption_metric['metrics'], 'meteor'))
vcr_metric = dict(type=VCRMetric)
