"""Visual Genome's own files as captioned regions, split for dense captioning."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

from flmm.utils.boxes import clip_xyxy
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json, write_json


def genome_splits(
    regions: str | os.PathLike,
    image_data: str | os.PathLike,
    splits: str | os.PathLike,
    out: Path,
) -> dict[str, Any]:
    """Write ``{split}.json`` as :class:`RegionCaptionDataset` reads it.

    COCO's layout with a ``caption`` in each annotation, as GRiT prepared Visual Genome. Boxes are
    cut to the image; regions without area or words are left out.

    Args:
        regions: ``region_descriptions.json``.
        image_data: ``image_data.json``, with the size of every image.
        splits: Json of ``{split: [image ids]}`` (``densecap_splits.json``).
        out: Folder to write to.

    Returns:
        Number of regions of each split, of regions left out (``no_area``, ``no_words``), and of
        images of a split that have ``no_regions``.

    Raises:
        AnnotationError: A file is in another form, or an image is in two splits.
    """
    sizes = _sizes(image_data)
    of_image = _regions(regions)
    counts: Counter[str] = Counter(no_area=0, no_words=0, no_regions=0)
    owner: dict[int, str] = {}
    for split, ids in _splits(splits).items():
        images, annotations = [], []
        for image_id in ids:
            first = owner.setdefault(image_id, split)
            if first != split:
                raise AnnotationError(splits, f'image {image_id} is in {first} and {split}.')
            if image_id not in sizes:
                raise AnnotationError(image_data, f'image {image_id} of {split} has no size.')
            width, height = sizes[image_id]
            kept = [
                entry
                for region in of_image.get(image_id, ())
                if (entry := _annotation(region, image_id, width, height, counts)) is not None
            ]
            counts['no_regions'] += not kept
            image = {'id': image_id, 'file_name': f'{image_id}.jpg'}
            images.append({**image, 'width': width, 'height': height})
            annotations += kept
        category = [{'id': 1, 'name': 'object'}]
        content = {'images': images, 'annotations': annotations, 'categories': category}
        write_json(out / f'{split}.json', content, indent=None)
        counts[split] = len(annotations)
    return dict(counts)


def _annotation(
    region: tuple[int, list[float], str],
    image_id: int,
    width: int,
    height: int,
    counts: Counter[str],
) -> dict[str, Any] | None:
    number, (x, y, w, h), phrase = region
    x0, y0, x1, y1 = clip_xyxy((x, y, x + w, y + h), height, width)
    if not phrase.strip():
        counts['no_words'] += 1
        return None
    if x1 <= x0 or y1 <= y0:
        counts['no_area'] += 1
        return None
    return {
        'id': number,
        'image_id': image_id,
        'bbox': [x0, y0, x1 - x0, y1 - y0],
        'area': (x1 - x0) * (y1 - y0),
        'category_id': 1,
        'iscrowd': 0,
        'caption': phrase.strip(),
    }


def _sizes(path: str | os.PathLike) -> dict[int, tuple[int, int]]:
    try:
        # The older files say "id", the newer ones "image_id".
        return {
            int(entry.get('image_id', entry.get('id'))): (int(entry['width']), int(entry['height']))
            for entry in load_json(path)
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_genome(path, 'image_data', error) from error


def _regions(path: str | os.PathLike) -> dict[int, list[tuple[int, list[float], str]]]:
    content = load_json(path)
    found: dict[int, list[tuple[int, list[float], str]]] = {}
    try:
        for entry in content:
            for region in entry['regions']:
                image_id = int(region.get('image_id', region.get('image')))
                box = [float(region[key]) for key in ('x', 'y', 'width', 'height')]
                if not all(map(math.isfinite, box)):
                    raise ValueError(f'region {region["region_id"]} has the box {box}')
                row = (int(region.get('region_id', region.get('id'))), box, str(region['phrase']))
                found.setdefault(image_id, []).append(row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_genome(path, 'region_descriptions', error) from error
    return found


def _splits(path: str | os.PathLike) -> dict[str, list[int]]:
    content = load_json(path)
    try:
        splits = {str(split): [int(one) for one in ids] for split, ids in content.items()}
    except (TypeError, AttributeError, ValueError) as error:
        raise AnnotationError(
            path, f'expected {{split: [image ids]}}: {type(error).__name__} {error}.'
        ) from error
    bad = [split for split in splits if not split.isidentifier()]
    if bad:
        raise AnnotationError(path, f'split {bad[0]!r} is no name.')
    return splits


def _no_genome(path: str | os.PathLike, kind: str, error: Exception) -> AnnotationError:
    return AnnotationError(
        path, f'no {kind} of Visual Genome: {type(error).__name__} {error}.', fix='Is it unpacked?'
    )
