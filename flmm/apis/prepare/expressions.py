"""Referring expressions in MDETR's layout: its mixed file by source, and UNINEXT's files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from flmm.utils.boxes import check_xywh
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json, write_json

#: How UNINEXT's images are called, by their source.
UNINEXT_NAMES = {
    'coco': 'COCO_train2014_{:012d}.jpg',
    'vg': '{}.jpg',
    'flickr': '{}.jpg',
}


def split_by_source(source: str | os.PathLike, out: Path) -> dict[str, Any]:
    """Cut MDETR's ``final_mixed_train.json`` into a file for each source of its images.

    Args:
        source: Of images with ``data_source`` (``coco``, ``vg``).
        out: Folder for ``{stem}_only_{data_source}.json``.

    Returns:
        Number of captions of each source.

    Raises:
        AnnotationError: It is in another form.
    """
    content = load_json(source)
    try:
        owner = {image['id']: str(image['data_source']) for image in content['images']}
        parts: dict[str, dict[str, list]] = {
            name: {'images': [], 'annotations': []} for name in sorted(set(owner.values()))
        }
        for kind in ('images', 'annotations'):
            key = 'id' if kind == 'images' else 'image_id'
            for entry in content[kind]:
                parts[owner[entry[key]]][kind].append(entry)
        rest = {k: v for k, v in content.items() if k not in ('images', 'annotations')}
    except (KeyError, TypeError, AttributeError) as error:
        raise AnnotationError(
            source,
            f'no mixed file of MDETR: {type(error).__name__} {error}.',
            fix='Its images have id and data_source, its annotations image_id.',
        ) from error
    for name, part in parts.items():
        # The name becomes part of a file's.
        if not name.isidentifier():
            raise AnnotationError(source, f'data_source {name!r} is no name.')
        write_json(out / f'{Path(source).stem}_only_{name}.json', {**rest, **part}, indent=None)
    return {name: len(part['images']) for name, part in parts.items()}


def uninext_as_mdetr(source: str | os.PathLike, out: Path, data_source: str = '') -> dict[str, Any]:
    """Write UNINEXT's ``instances.json`` in MDETR's layout, which the reader takes.

    Every expression becomes a caption of its own that means its box as a whole.

    Args:
        source: Of splits, each a list of objects with ``image_id``, ``width``, ``height``,
            ``bbox``, ``expressions`` and perhaps ``mask`` and ``data_source``.
        out: Folder for ``{split}_{data_source}.json``.
        data_source: Source of objects that name none, a key of ``UNINEXT_NAMES``.

    Returns:
        Number of expressions of each file, and of objects left out because of a ``bad_box``.

    Raises:
        AnnotationError: It is in another form.
    """
    content = load_json(source)
    counts: Counter[str] = Counter(bad_box=0)
    try:
        for split, objects in content.items():
            parts: dict[str, dict[str, list]] = {}
            for item in objects:
                name = item.get('data_source', data_source)
                part = parts.setdefault(name, {'images': [], 'annotations': []})
                counts['bad_box'] += _add_object(part, item, UNINEXT_NAMES[name])
            for name, part in parts.items():
                if not split.isidentifier():
                    raise AnnotationError(source, f'split {split!r} is no name.')
                counts[f'{split}_{name}'] = len(part['images'])
                write_json(out / f'{split}_{name}.json', part, indent=None)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(
            source,
            f'no file of UNINEXT: {type(error).__name__} {error}.',
            fix=f'Its objects name a data_source of {sorted(UNINEXT_NAMES)}, or you do.',
        ) from error
    return dict(counts)


def _add_object(part: dict[str, list], item: dict[str, Any], file_name: str) -> bool:
    """Add an object's expressions; whether its box is bad and it was left out."""
    try:
        box = check_xywh(item['bbox'])
    except (TypeError, ValueError):
        return True
    image = {
        'file_name': file_name.format(item['image_id']),
        'original_id': item['image_id'],
        'width': int(item['width']),
        'height': int(item['height']),
    }
    for text in item['expressions']:
        number = len(part['images'])
        add_expression(
            part,
            number,
            image,
            str(text),
            [float(side) for side in box],
            item.get('mask'),
        )
    return False


def add_expression(
    part: dict[str, list],
    number: int,
    image: dict[str, Any],
    text: str,
    box_xywh: list[float],
    segmentation: Any = None,
    span: tuple[int, int] | None = None,
) -> None:
    """Add an expression to a file in MDETR's layout.

    Args:
        part: ``images`` and ``annotations``; changed.
        number: Id of the expression's entry among the images, and of its annotation.
        image: ``file_name``, ``width``, ``height``, ``original_id``.
        text: The caption.
        box_xywh: What it means.
        segmentation: Polygons or RLE of it; None for none.
        span: Characters that mean it; None for the whole caption.
    """
    annotation = {
        'id': number,
        'image_id': number,
        'bbox': box_xywh,
        'area': box_xywh[2] * box_xywh[3],
        'iscrowd': 0,
        'category_id': 1,
        'tokens_positive': [list(span or (0, len(text)))],
    }
    if segmentation is not None:
        annotation['segmentation'] = segmentation
    part['images'].append({**image, 'id': number, 'caption': text})
    part['annotations'].append(annotation)
