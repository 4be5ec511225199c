"""How many bootstrapped captions are true, where the truth is known: kept ones against all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flmm.datasets.self_consistent import Record, SelfConsistencyFilter
from flmm.utils.errors import AnnotationError, InputFileError
from flmm.utils.json_lines import read_json_lines
from flmm.utils.safe_io import load_json


def is_true(caption: str, truth: str, kinds: Mapping[str, Sequence[str]]) -> bool:
    """Whether a caption says nothing wrong of what it names.

    Args:
        caption: What was generated.
        truth: What is true, with a word of each kind.
        kinds: Name -> its words, such as colours. Of each kind the first word of a text counts;
            words of no kind are not judged.

    Returns:
        True where the caption has a word of at least one kind, and none that is not the truth's.
    """
    said, meant = (_named(text, kinds) for text in (caption, truth))
    return bool(said) and all(meant.get(kind) == word for kind, word in said.items())


def _named(text: str, kinds: Mapping[str, Sequence[str]]) -> dict[str, str]:
    words = re.findall(r'\w+', text.lower())
    found = {kind: next((w for w in words if w in known), None) for kind, known in kinds.items()}
    return {kind: word for kind, word in found.items() if word is not None}


def read_generated(out_dir: str | Path) -> list[Record]:
    """All records that ``tools/bootstrap.py`` generated, in the order of the shards.

    Raises:
        InputFileError: There are none.
    """
    paths = sorted((Path(out_dir) / 'generated').glob('*-of-*.jsonl'))
    if not paths:
        raise InputFileError(
            out_dir, 'holds nothing generated.', fix='It is the --out of tools/bootstrap.py.'
        )
    return [record for path in paths for record in read_json_lines(path, allow_cut_end=True)]


def read_truths(path: str | Path) -> dict[Any, str]:
    """Captions by annotation id of a file in COCO's layout (``annotations`` with ``caption``).

    Raises:
        AnnotationError: It is in another layout.
    """
    try:
        return {item['id']: item['caption'] for item in load_json(path)['annotations']}
    except (KeyError, TypeError) as error:
        raise AnnotationError(
            path, f'has no annotations with id and caption: {type(error).__name__} {error}.'
        ) from error


def caption_precision(
    records: Sequence[Record],
    truths: Mapping[Any, str],
    kinds: Mapping[str, Sequence[str]],
    iou_threshold: float = 0.5,
) -> dict[str, float]:
    """Score generated captions before and after the filter.

    Args:
        records: See :func:`read_generated`.
        truths: Annotation id -> a true caption; captions of other objects are not counted.
        kinds: See :func:`is_true`.
        iou_threshold: Of the filter.

    Returns:
        ``precision_all``, ``precision_kept`` (percent, nan where there is none), ``gain`` between
        them, ``captions``, ``kept``.
    """
    keep = SelfConsistencyFilter(iou_threshold)
    everything, kept = [], []
    for record in records:
        for caption in record['pred']:
            truth = truths.get(record['anno'][caption['object_id']]['id'])
            if truth is None:
                continue
            right = is_true(caption['caption'], truth, kinds)
            everything.append(right)
            if keep.is_consistent(caption, record):
                kept.append(right)
    before, after = (_percent(values) for values in (everything, kept))
    return {
        'precision_all': before,
        'precision_kept': after,
        'gain': after - before,
        'captions': len(everything),
        'kept': len(kept),
    }


def _percent(values: Sequence[bool]) -> float:
    return 100 * sum(values) / len(values) if values else math.nan


def unfiltered(records: Sequence[Record]) -> list[Record]:
    """The records as a training file with every caption, as if the filter had kept them all."""
    return [
        {
            **record,
            'pred': [
                {**caption, 'bbox': record['anno'][caption['object_id']]['bbox']}
                for caption in record['pred']
            ],
            'generate_caption': '',
        }
        for record in records
        if record['pred']
    ]
