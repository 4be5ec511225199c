"""Names are found without importing their modules first, in flmm's own scope."""

import warnings

import pytest

from flmm import registry


@pytest.mark.parametrize(
    ('children', 'name'),
    [
        (registry.MODELS, 'UNetMaskHead'),
        (registry.DATASETS, 'PNGDataset'),
        (registry.TRANSFORMS, 'LoadMasks'),
        (registry.METRICS, 'RESMetric'),
        (registry.HOOKS, 'SkippedSampleHook'),
        (registry.LOOPS, 'MultiTaskTestLoop'),
        (registry.RUNNERS, 'FLMMRunner'),
    ],
)
def test_a_name_leads_to_its_class(children, name):
    assert children.get(name).__name__ == name


def test_parts_of_mmengine_are_found_through_the_children():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert registry.OPTIM_WRAPPERS.get('OptimWrapper').__name__ == 'OptimWrapper'
        assert registry.PARAM_SCHEDULERS.get('LinearLR').__name__ == 'LinearLR'
        assert registry.DATA_SAMPLERS.get('InfiniteSampler').__name__ == 'InfiniteSampler'
