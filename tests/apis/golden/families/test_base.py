"""What families of recorded LMMs share: pixels compared whole or strided, weights by prefix."""

import numpy as np
import torch

from flmm.apis.golden.families.base import compare_strided, hf_lmm, write_weights
from flmm.utils.tensor_io import load_safetensors_file

PIXELS = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4)


def test_records_are_compared_whole_and_at_every_kth_pixel():
    arrays = {
        'pixels': PIXELS.numpy(),
        'pixels_sub2': PIXELS.numpy()[..., ::2, ::2],
        'pixels_mean': np.zeros(3),
        'other': np.zeros(1),
    }
    results = list(compare_strided('pixels', PIXELS, arrays))
    assert [(r.name, r.passed) for r in results] == [('pixels', True), ('pixels_sub2', True)]


def test_a_record_without_batch_axis_is_that_of_the_only_image():
    (result,) = compare_strided('pixels', PIXELS[:1], {'pixels': PIXELS[0].numpy()})
    assert result.passed
    (result,) = compare_strided('pixels', PIXELS, {'pixels': PIXELS[0].numpy()})
    assert not result.passed and 'shape' in result.note


def test_an_error_is_relative_to_the_largest_pixel():
    # The largest value is 95; the tolerance is a millionth of it.
    for error, passed in ((5e-5, True), (5e-4, False)):
        wrong = PIXELS.double().numpy().copy()
        wrong[0, 0, 0, 0] += error
        (result,) = compare_strided('pixels', PIXELS, {'pixels': wrong})
        assert result.passed is passed


def test_weights_of_a_prefix_are_written_without_it(tmp_path):
    weights = {'llava.a': torch.ones(2), 'llava.llava.b': torch.zeros(1), 'head.c': torch.ones(1)}
    write_weights(tmp_path, weights, 'llava.')
    saved = load_safetensors_file(tmp_path / 'model.safetensors')
    assert sorted(saved) == ['a', 'llava.b'] and torch.equal(saved['a'], torch.ones(2))


def test_an_lmm_of_transformers_is_read_in_full_precision(tmp_path):
    assert hf_lmm(tmp_path, {}) == {
        'type': 'HFLMM',
        'pretrained': str(tmp_path),
        'dtype': 'float32',
    }
