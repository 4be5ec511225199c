"""The toy world's captions by task, for any text model: what is learned and how it is tested."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from flmm.datasets import ConcatGrounding, grounding_collate
from flmm.datasets.transforms import LastWords, LoadImage, LoadMasks
from flmm.evaluation.metrics import (
    DenseCaptionMetric,
    HeadBoxes,
    PlacedCaptionMetric,
    RECMetric,
    RESMetric,
    WordLocationMetric,
)

with read_base():
    from .toy_words import *

loader = dict(num_workers=1, persistent_workers=True, collate_fn=dict(type=grounding_collate))
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


def caption_tasks(prepare, image, reference, region):
    """Data sets to train each task, and loaders of all tests.

    Args:
        prepare: How samples are prepared for the text model.
        image: What is said before a caption of the whole image.
        reference: What is said before an expression.
        region: What is said before the caption of a region.
    """
    narrative = dict(prepare, source='narrative', context=image)
    expressions = dict(prepare, source='expressions', context=reference)
    regions = dict(prepare, source='regions', context=region, max_texts=100)
    last_region = dict(prepare, source='last_region', context=region, task='write')
    load, masks = dict(type=LoadImage), dict(type=LoadMasks)
    train = dict(
        trace=[dict(narratives_train, pipeline=[load, narrative])],
        ref=[dict(cfg, pipeline=[load, expressions]) for cfg in references_train],
        refseg=[dict(cfg, pipeline=[load, masks, expressions]) for cfg in references_train],
        densecap=[dict(regions_train, pipeline=[load, regions])],
    )
    references = dict(
        type=ConcatGrounding,
        datasets=references_val,
        name='references_val',
        pipeline=[load, masks, expressions],
    )
    one_region = dict(regions_val, ask='one', name='one_region_val')
    tests = dict(
        nouns=dict(nouns_val, pipeline=[load, masks, dict(type=LastWords), narrative]),
        traces=dict(narratives_val, pipeline=[load, narrative]),
        rec=references,
        res=references,
        dense=dict(regions_val, pipeline=[load, dict(regions, task='detect')]),
        dense_true_boxes=dict(regions_val, pipeline=[load, dict(regions, task='write')]),
        region_captions=dict(one_region, pipeline=[load, last_region]),
    )
    in_order = dict(loader, batch_size=16, sampler=dict(type=DefaultSampler, shuffle=False))
    return train, {task: dict(in_order, dataset=dataset) for task, dataset in tests.items()}
