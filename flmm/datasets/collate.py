"""Items of a dataset -> a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flmm.structures import SkippedSample

from .transforms.base import Item


def grounding_collate(items: Sequence[Item]) -> dict[str, list[Any]]:
    """Make a batch; samples keep their sizes, the LMM pads what it needs to.

    Args:
        items: What the dataset gave.

    Returns:
        ``inputs`` (``LMMInputs``), ``samples`` (``GroundingSample``, in the same order) and
        ``skipped`` (``SkippedSample``). All may be empty.

    Raises:
        ValueError: A sample has no ``lmm_inputs``.
    """
    samples = [item for item in items if not isinstance(item, SkippedSample)]
    for sample in samples:
        if sample.lmm_inputs is None:
            raise ValueError(
                f'Sample {sample.sample_id} has no lmm_inputs: does the pipeline hold '
                'PrepareLMMInputs?'
            )
    return {
        'inputs': [sample.lmm_inputs for sample in samples],
        'samples': samples,
        'skipped': [item for item in items if isinstance(item, SkippedSample)],
    }
