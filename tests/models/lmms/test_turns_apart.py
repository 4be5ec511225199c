"""Turns that do not see each other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flmm.models.lmms import HFLMM
from flmm.models.lmms.turns_apart import mask_and_positions, number_turns, turns_apart
from flmm.structures import ImageGrid, LMMInputs

TINY = str(Path(__file__).parents[3] / 'checkpoints/tiny_llava')
IMAGE = 4


@pytest.fixture(scope='module')
def lmm():
    return HFLMM(TINY, dtype='float32').eval()


def conversation(*turns, picture=0):
    """``USER <image>``, then each turn as (question ids, answer ids)."""
    ids, labels = [1, *[IMAGE] * 144], [-100] * 145
    for question, answer in turns:
        ids += [*question, *answer]
        labels += [-100] * len(question) + list(answer)
    generator = torch.Generator().manual_seed(picture)
    return LMMInputs(
        torch.tensor(ids),
        torch.full((len(ids),), -1),
        (ImageGrid(torch.arange(1, 145).view(12, 12), (0, 0, 96, 96)),),
        image_shape=(96, 96),
        resized_shape=(96, 96),
        tensors={'pixel_values': torch.randn(1, 3, 96, 96, generator=generator)},
        labels=torch.tensor(labels),
    )


TURNS = [([300, 301, 302], [310, 2]), ([303, 304], [311, 312, 2]), ([305], [313, 2])]


def test_a_turn_ends_with_its_answer():
    turns = number_turns(conversation(*TURNS))
    assert turns.tolist() == [0] * 145 + [1] * 5 + [2] * 5 + [3] * 3


def test_without_an_image_the_first_turn_begins_at_once():
    sample = replace(conversation(*TURNS), grids=())
    assert number_turns(sample).tolist() == [1] * 150 + [2] * 5 + [3] * 3


def test_turns_are_counted_where_the_labels_are():
    # Meta tensors refuse to meet those of the CPU just as a GPU's do.
    turns = number_turns(conversation(*TURNS).to('meta'))
    mask, positions = mask_and_positions([turns, turns[:150]])
    assert {tensor.device.type for tensor in (turns, mask, positions)} == {'meta'}


def test_no_row_is_empty_and_nobody_sees_padding_or_another_turn():
    seen, positions = mask_and_positions([torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1])])
    assert seen.shape == (2, 1, 4, 4) and seen.any(dim=-1).all()
    assert seen[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert not seen[1, 0, :2, 2:].any()
    assert positions[0].tolist() == [0, 1, 2, 1]


def test_the_loss_is_that_of_single_turns(lmm):
    together = [conversation(*TURNS), conversation(*TURNS[:2], picture=1)]
    single = [conversation(turn) for turn in TURNS]
    single += [conversation(turn, picture=1) for turn in TURNS[:2]]
    with torch.no_grad():
        with turns_apart(lmm.model, together):
            packed = lmm(together)['loss_lm']
        alone, ordinary = lmm(single)['loss_lm'], lmm(together)['loss_lm']
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    assert abs(ordinary - alone) > 1e-3


def test_the_model_is_left_as_it_was(lmm):
    sample = conversation(TURNS[0])
    with torch.no_grad():
        before = lmm([sample])['loss_lm']
        with pytest.raises(RuntimeError), turns_apart(lmm.model, [sample]):
            raise RuntimeError
        torch.testing.assert_close(lmm([sample])['loss_lm'], before, rtol=0, atol=0)
