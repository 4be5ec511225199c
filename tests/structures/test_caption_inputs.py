"""Where points of the canvas lie in the original image, by hand."""

import torch

from flmm.structures import CaptionInputs


def inputs():
    return CaptionInputs(
        pixels=torch.zeros(3, 8, 8, dtype=torch.uint8),
        content_shape=(8, 6),
        scale=(2.0, 0.5),
        offset=(-4.0, 2.0),
        tokens=torch.tensor([[1, 5, 2], [1, 2, 0]]),
        prompt_boxes=torch.zeros(2, 4),
    )


def test_points_and_boxes_go_back_to_the_original_image():
    # ((10 - 4) / 2, (3 + 2) / 0.5): padded to the left, cut off above.
    assert inputs().to_original(torch.tensor([[10.0, 3.0]])).tolist() == [[3.0, 10.0]]
    box = torch.tensor([[[10.0, 3.0, 12.0, 5.0]]])
    assert inputs().to_original(box).tolist() == [[[3.0, 10.0, 4.0, 14.0]]]


def test_all_tokens_are_counted():
    assert inputs().input_ids.tolist() == [1, 5, 2, 1, 2, 0]


def test_a_copy_elsewhere_takes_every_tensor_and_leaves_the_rest():
    here = inputs()
    there = here.to('meta')
    assert there.tokens.is_meta and there.pixels.is_meta and there.prompt_boxes.is_meta
    assert there.context is None and there.scale == here.scale
    assert not here.tokens.is_meta
