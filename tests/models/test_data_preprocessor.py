import torch

from flmm.models.data_preprocessor import StructuresToDevice


def test_model_tensors_move_and_samples_stay(make_sample):
    sample = make_sample()
    preprocessor = StructuresToDevice()
    preprocessor._device = torch.device('meta')
    batch = preprocessor({'inputs': [sample.lmm_inputs], 'samples': [sample], 'skipped': []})
    (moved,) = batch['inputs']
    assert moved.input_ids.is_meta and moved.tensors['pixel_values'].is_meta
    assert moved.labels.is_meta and not moved.grids[0].positions.is_meta
    assert batch['samples'] == [sample] and batch['skipped'] == []
    assert not sample.lmm_inputs.input_ids.is_meta  # the caller's own are as they were


def test_a_batch_without_inputs_passes():
    assert StructuresToDevice()({'samples': []}) == {'samples': []}
