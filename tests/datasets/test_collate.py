import pytest
import torch

from flmm.datasets import grounding_collate
from flmm.structures import GroundingSample, LMMInputs, SkippedSample


def test_samples_and_skipped_ones_are_told_apart():
    ids = torch.zeros(3, dtype=torch.int64)
    sample = GroundingSample('a', lmm_inputs=LMMInputs(ids, ids, (), (1, 1)))
    skipped = SkippedSample('b', 'no_phrase')
    batch = grounding_collate([skipped, sample])
    assert batch == {'inputs': [sample.lmm_inputs], 'samples': [sample], 'skipped': [skipped]}
    assert grounding_collate([skipped])['inputs'] == []


def test_a_pipeline_without_the_lmms_inputs_is_named():
    with pytest.raises(ValueError, match='PrepareLMMInputs'):
        grounding_collate([GroundingSample('a')])
