"""Images that the language model does not see."""

import pytest
import torch
from torch import nn

from flmm.models.lmms.hidden_images import hidden_images
from flmm.structures import ImageGrid, LMMInputs


class Decoder(nn.Module):
    def forward(self, inputs_embeds):
        return inputs_embeds


def sample(first):
    """Six tokens, of which four from ``first`` are visual."""
    return LMMInputs(
        torch.arange(6),
        torch.full((6,), -1),
        (ImageGrid(torch.arange(first, first + 4).view(2, 2), (0, 0, 8, 8)),),
        image_shape=(8, 8),
        resized_shape=(8, 8),
    )


@pytest.mark.parametrize(
    ('hide', 'zeros'),
    [
        ([False, False], []),
        ([True, False], [(0, 1), (0, 2), (0, 3), (0, 4)]),
        ([False, True], [(1, 2), (1, 3), (1, 4), (1, 5)]),
    ],
)
def test_only_visual_tokens_of_hidden_samples_are_zero(hide, zeros):
    embeds = torch.rand(2, 6, 3) + 1
    decoder = Decoder()
    with hidden_images(decoder, [sample(1), sample(2)], hide):
        seen = decoder(inputs_embeds=embeds)
    empty = (seen == 0).all(dim=-1)
    assert [tuple(place) for place in empty.nonzero().tolist()] == zeros
    assert torch.equal(seen[~empty], embeds[~empty])
    assert decoder(inputs_embeds=embeds) is embeds


def test_hooks_before_it_see_the_image_and_gradients_reach_what_is_shown():
    embeds = torch.ones(1, 6, 3, requires_grad=True)
    decoder, before = Decoder(), []

    def watch(_module, _args, kwargs):
        before.append(kwargs['inputs_embeds'])

    decoder.register_forward_pre_hook(watch, with_kwargs=True)
    with hidden_images(decoder, [sample(1)], [True]):
        decoder(inputs_embeds=embeds).sum().backward()
    assert before[0] is embeds
    assert embeds.grad[0, :, 0].tolist() == [1, 0, 0, 0, 0, 1]
