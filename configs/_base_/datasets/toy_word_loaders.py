"""Loaders and scores of word locations on the toy world, for the tiny LLaVA."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler

from flmm.datasets import grounding_collate
from flmm.datasets.transforms import AddPrompt, LastWords, LoadImage, LoadMasks, PrepareLMMInputs
from flmm.evaluation.metrics import WordLocationMetric

with read_base():
    from ..lmms.tiny_llava import *
    from .toy_words import *

_load = dict(type=LoadImage)
_reading = [
    dict(type=AddPrompt, prompt=prompt),
    dict(type=PrepareLMMInputs, processor=lmm_processor),
]
_loader = dict(
    batch_size=8, num_workers=1, persistent_workers=True, collate_fn=dict(type=grounding_collate)
)
_in_order = dict(type=DefaultSampler, shuffle=False)
train_dataloader = dict(
    _loader,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(narratives_train, pipeline=[_load, *_reading]),
)
_nouns = [_load, dict(type=LoadMasks), dict(type=LastWords), *_reading]
test_dataloader = dict(
    # Nouns with the masks of what they mean: do they point at it?
    nouns=dict(_loader, sampler=_in_order, dataset=dict(nouns_val, pipeline=_nouns)),
    # All words with their traces: how far off are they?
    traces=dict(
        _loader, sampler=_in_order, dataset=dict(narratives_val, pipeline=[_load, *_reading])
    ),
)
test_evaluator = {task: [dict(type=WordLocationMetric, prefix=task)] for task in test_dataloader}
del _load, _reading, _loader, _in_order, _nouns
