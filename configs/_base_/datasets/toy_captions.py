"""What a tiny PixelLLM learns on the toy world, by task, and how it is tested."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.datasets import ConcatGrounding, grounding_collate
from flmm.datasets.transforms import LastWords, LoadImage, LoadMasks, PrepareCaptions
from flmm.evaluation.metrics import (
    DenseCaptionMetric,
    HeadBoxes,
    PlacedCaptionMetric,
    RECMetric,
    RESMetric,
    WordLocationMetric,
)

with read_base():
    from ..pixel_llm.toy_parts import *
    from .toy_words import *

_prepare = dict(
    type=PrepareCaptions, tokenizer=tokenizer, image_size=image_size, max_tokens=128, **special_ids
)
_narrative = dict(_prepare, source='narrative', context='Describe this image.')
_expressions = dict(_prepare, source='expressions', context='Where is {text} ?')
_regions = dict(_prepare, source='regions', context='What is this ?', max_texts=100)
_load = dict(type=LoadImage)
_masks = dict(type=LoadMasks)
loader = dict(num_workers=1, persistent_workers=True, collate_fn=dict(type=grounding_collate))
train_parts = dict(
    trace=[dict(narratives_train, pipeline=[_load, _narrative])],
    ref=[dict(cfg, pipeline=[_load, _expressions]) for cfg in references_train],
    refseg=[dict(cfg, pipeline=[_load, _masks, _expressions]) for cfg in references_train],
    densecap=[dict(regions_train, pipeline=[_load, _regions])],
)
_references = dict(type=ConcatGrounding, datasets=references_val, name='references_val')
_one_region = dict(regions_val, ask='one', name='one_region_val')
_last_region = dict(_prepare, source='last_region', context='What is this ?', task='write')
_tests = dict(
    nouns=dict(nouns_val, pipeline=[_load, _masks, dict(type=LastWords), _narrative]),
    traces=dict(narratives_val, pipeline=[_load, _narrative]),
    rec=dict(_references, pipeline=[_load, _masks, _expressions]),
    res=dict(_references, pipeline=[_load, _masks, _expressions]),
    dense=dict(regions_val, pipeline=[_load, dict(_regions, task='detect')]),
    dense_true_boxes=dict(regions_val, pipeline=[_load, dict(_regions, task='write')]),
    region_captions=dict(_one_region, pipeline=[_load, _last_region]),
)
test_loaders = {
    task: dict(
        loader, batch_size=16, sampler=dict(type=DefaultSampler, shuffle=False), dataset=dataset
    )
    for task, dataset in _tests.items()
}
test_metrics = dict(
    nouns=[dict(type=WordLocationMetric, prefix='nouns')],
    traces=[dict(type=WordLocationMetric, prefix='traces')],
    rec=[dict(type=RECMetric, reader=dict(type=HeadBoxes), prefix='rec')],
    res=[dict(type=RESMetric, prefix='res')],
    dense=[dict(type=DenseCaptionMetric, prefix='dense')],
    dense_true_boxes=[dict(type=DenseCaptionMetric, prefix='dense_true_boxes')],
    region_captions=[dict(type=PlacedCaptionMetric, prefix='region_captions')],
)
# Which tests a system that was trained for a task can take.
tests_of = dict(
    trace=['nouns', 'traces'],
    ref=['rec'],
    refseg=['rec', 'res'],
    densecap=['dense', 'dense_true_boxes', 'region_captions'],
)
del _prepare, _narrative, _expressions, _regions, _load, _masks, _tests
del _references, _one_region, _last_region
