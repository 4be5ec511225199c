"""Localized Narratives that training can use, checked one by one."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flmm.datasets.localized_narratives import read_narratives, utterance_traces
from flmm.utils.safe_io import resolve_under_root
from flmm.utils.traces import utterances_of_words


def check_narratives(
    source: str | os.PathLike,
    out: Path,
    image_root: str | None = None,
    file_name: str = '{image_id:0>12}.jpg',
    bar: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Any]:
    """Copy the usable narratives of a jsonl, without the fields that nobody reads.

    Args:
        source: ``*_localized_narratives*.jsonl``.
        out: Folder for a file of the same name.
        image_root: Folder of the images; None: images are not looked for.
        file_name: As :class:`LocalizedNarrativesDataset` takes it.
        bar: Wraps what is gone through.

    Returns:
        Counts: ``narratives`` kept, ``words`` of them with a trace, and of those left out
        ``malformed``, ``no_trace`` and ``no_image``.

    Raises:
        InputFileError: The file is missing.
        AnnotationError: A line is no JSON, or no narrative at all.
    """
    counts: Counter[str] = Counter(narratives=0, words=0, malformed=0, no_trace=0, no_image=0)
    with open(out / Path(source).name, 'w', encoding='utf-8') as file:
        for record in bar(read_narratives(source)):
            words = _traced_words(record)
            if words is None:
                counts['malformed'] += 1
            elif not words:
                counts['no_trace'] += 1
            elif image_root is not None and not os.path.isfile(
                resolve_under_root(image_root, file_name.format(image_id=record['image_id']))
            ):
                counts['no_image'] += 1
            else:
                counts['narratives'] += 1
                counts['words'] += words
                file.write(json.dumps(record, ensure_ascii=False) + '\n')
    return dict(counts)


def _traced_words(record: dict[str, Any]) -> int | None:
    """How many words have a trace; None for a narrative that cannot be read."""
    try:
        traces = utterance_traces(record)
        words = utterances_of_words(
            record['caption'], [u['utterance'] for u in record['timed_caption']]
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return sum(owner is not None for _, owner in words) if traces else 0
