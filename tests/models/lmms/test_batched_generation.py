"""Several prompts are answered at once as they are one by one."""

from dataclasses import replace

import pytest
import torch

from flmm.models.lmms import HFLMM
from flmm.models.lmms.batched_generation import write_batch


@pytest.fixture(scope='module')
def lmm(tiny_llava):
    return HFLMM(str(tiny_llava), dtype='float32').eval()


@pytest.fixture(scope='module')
def prompts(make_sample):
    return [
        make_sample(phrases, seed=seed).lmm_inputs
        for seed, phrases in enumerate([('a red circle',), ('the blue square', 'a star')])
    ]


def lists(written):
    return [ids.tolist() for ids in written]


def test_prompts_of_different_length_are_answered_as_alone(lmm, prompts):
    assert len(prompts[0].input_ids) != len(prompts[1].input_ids)
    together = write_batch(lmm, prompts, 5)
    alone = [write_batch(lmm, [one], 5)[0] for one in prompts]
    assert lists(together) == lists(alone)
    assert all(len(ids) <= 5 for ids in together)
    assert write_batch(lmm, [], 5) == []


def test_an_answer_stops_before_its_end_token(lmm, prompts, monkeypatch):
    first = write_batch(lmm, prompts, 3)[0]
    # The first token that is written becomes the end token.
    monkeypatch.setattr(lmm.model.generation_config, 'eos_token_id', [int(first[0])])
    assert write_batch(lmm, prompts, 3)[0].tolist() == []


def test_prompts_with_and_without_image_are_written_one_by_one(lmm, prompts, monkeypatch):
    ids = prompts[0].input_ids
    text = replace(prompts[0], input_ids=ids[ids < 4], tensors={}, grids=())
    calls = []

    def generate(inputs, max_new_tokens):
        calls.append(len(inputs))
        return [torch.zeros(1, dtype=torch.int64)] * len(inputs)

    monkeypatch.setattr(lmm, 'generate', generate)
    assert len(write_batch(lmm, [prompts[0], text], 2)) == 2
    assert calls == [2]
