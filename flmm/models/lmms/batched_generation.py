"""Answers to several prompts at once, padded in front."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from flmm.structures import LMMInputs

from .batching import concatenate_padded
from .hf import HFLMM


@torch.no_grad()
def write_batch(lmm: HFLMM, inputs: Sequence[LMMInputs], max_new_tokens: int) -> list[Tensor]:
    """Continue prompts greedily, all of them in one go where the LMM's inputs allow it.

    Models with an argument per token (types of tokens) and batches in which only some samples
    have an image are written one by one.

    Args:
        lmm: The LMM.
        inputs: The prompts.
        max_new_tokens: Most tokens to write for each.

    Returns:
        One ``(n,)`` int64 tensor of new ids for each sample, end token excluded.
    """
    if not inputs:
        return []
    if not fits_one_batch(inputs):
        return lmm.generate(inputs, max_new_tokens)
    longest = max(len(sample.input_ids) for sample in inputs)
    ids = torch.full((len(inputs), longest), lmm.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, sample in enumerate(inputs):
        ids[row, longest - len(sample.input_ids) :] = sample.input_ids
        mask[row, longest - len(sample.input_ids) :] = 1
    batch = {'input_ids': ids.to(lmm.device), 'attention_mask': mask.to(lmm.device)}
    for name in inputs[0].tensors:
        tensor = concatenate_padded([sample.tensors[name] for sample in inputs]).to(lmm.device)
        batch[name] = tensor.to(lmm.model.dtype) if tensor.is_floating_point() else tensor
    config = copy.deepcopy(lmm.model.generation_config)
    config.update(
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        use_cache=True,
        cache_implementation='dynamic',
        return_dict_in_generate=False,
        max_new_tokens=max_new_tokens,
        pad_token_id=lmm.pad_token_id,
    )
    output = lmm.model.generate(**batch, generation_config=config)[:, longest:]
    ends = config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    written = []
    for row in output:
        stop = [i for i, token in enumerate(row.tolist()) if token in ends]
        written.append(row[: stop[0]] if stop else row)
    return written


def fits_one_batch(inputs: Sequence[LMMInputs]) -> bool:
    """Whether :func:`write_batch` pads these prompts in front and reads them together.

    Args:
        inputs: The prompts.
    """
    names = {tuple(sample.tensors) for sample in inputs}
    per_token = any(
        tensor.shape[:2] == (1, len(sample.input_ids))
        for sample in inputs
        for tensor in sample.tensors.values()
    )
    return len(inputs) > 1 and len(names) == 1 and not per_token
