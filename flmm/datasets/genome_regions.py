"""Visual Genome's ``region_descriptions.json`` as images with captioned annotations."""

from __future__ import annotations

from typing import Any

from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json


def read_region_descriptions(path: str, sizes_file: str | None = None) -> list[dict[str, Any]]:
    """Read the file as COCO-like records.

    Args:
        path: ``region_descriptions.json``.
        sizes_file: ``image_data.json``, the sizes of the images, which the first file lacks.

    Returns:
        One record per image with regions: ``file_name``, ``width``, ``height`` (None where nobody
        says), ``annotations`` (``id``, ``bbox``, ``caption``).

    Raises:
        AnnotationError: A file is in another format.
    """
    sizes = {} if sizes_file is None else _read_sizes(sizes_file)
    try:
        return [_record(entry, sizes) for entry in load_json(path) if entry['regions']]
    except (KeyError, TypeError, IndexError) as error:
        raise AnnotationError(
            path, f'no region_descriptions of Visual Genome: {type(error).__name__} {error}.'
        ) from error


def _record(entry: dict[str, Any], sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
    image_id = entry['id'] if 'id' in entry else entry['regions'][0]['image_id']
    width, height = sizes.get(image_id, (entry.get('width'), entry.get('height')))
    return {
        'file_name': f'{image_id}.jpg',
        'width': width,
        'height': height,
        'annotations': [
            {
                'id': region['region_id'],
                'bbox': [region[key] for key in ('x', 'y', 'width', 'height')],
                'caption': region['phrase'],
            }
            for region in entry['regions']
        ],
    }


def _read_sizes(path: str) -> dict[int, tuple[int, int]]:
    try:
        # The older files say "id", the newer ones "image_id".
        return {
            image['image_id'] if 'image_id' in image else image['id']: (
                int(image['width']),
                int(image['height']),
            )
            for image in load_json(path)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotationError(
            path, f'no image_data of Visual Genome: {type(error).__name__} {error}.'
        ) from error
