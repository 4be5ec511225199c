"""Types of tokens are carried on over the text that was written."""

import torch

from flmm.models.lmms.token_types import continue_token_types

IS_IMAGE = torch.tensor([True, True, False])


def test_types_that_mark_images_are_zero_for_text():
    tensors = {'token_type_ids': torch.tensor([[1, 1, 0]])}
    assert continue_token_types(tensors, IS_IMAGE, 5)['token_type_ids'].tolist() == [
        [1, 1, 0, 0, 0]
    ]


def test_types_that_mark_what_is_written_are_one_for_text():
    # As PaliGemma: the prompt is read freely, its image, too.
    tensors = {'token_type_ids': torch.tensor([[0, 0, 0]])}
    assert continue_token_types(tensors, IS_IMAGE, 5)['token_type_ids'].tolist() == [
        [0, 0, 0, 1, 1]
    ]


def test_types_of_modalities_are_always_zero_for_text():
    tensors = {'mm_token_type_ids': torch.tensor([[0, 0, 0]])}
    assert continue_token_types(tensors, IS_IMAGE, 4)['mm_token_type_ids'].tolist() == [
        [0, 0, 0, 0]
    ]


def test_other_arguments_stay_and_a_cut_prompt_is_no_error():
    pixels = torch.zeros(1, 3)
    tensors = {'pixel_values': pixels, 'token_type_ids': torch.tensor([[1, 1, 0]])}
    continued = continue_token_types(tensors, IS_IMAGE, 3)
    assert continued['pixel_values'] is pixels
    assert continued['token_type_ids'].tolist() == [[1, 1, 0]]
    assert tensors['token_type_ids'].shape == (1, 3)
