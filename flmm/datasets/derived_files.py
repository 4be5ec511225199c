"""The annotation files that Pink's training reads, derived from the public ones.

Pure functions from what a public file holds to what the derived file holds; the tool
``tools/prepare_data/derive_pink.py`` reads and writes them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

Json = Any


def boxes_by_image(
    instances: dict[str, Json], *, drop_prefix: int = 0, clip_start: bool = True
) -> list[dict[str, Json]]:
    """Objects365 or COCO instances -> one entry per image with its boxes.

    Boxes without overlap with the image, without area, or less than a pixel wide or high are
    dropped; crowds get ``ignore`` 1.

    Args:
        instances: Contents of a COCO-style file.
        drop_prefix: Characters to drop from the start of ``file_name`` (10 for Objects365's
            ``images/v1/``).
        clip_start: Cut boxes at the left and upper border, too; Pink's COCO file does not.

    Returns:
        ``[{id, image_id (the file's name), height, width, anno: [...]}]``, boxes as ``xyxy``.

    Raises:
        AnnotationError: The file is in another format.
    """
    try:
        if drop_prefix:
            _check_prefix(instances['images'], drop_prefix)
        names = {category['id']: category['name'] for category in instances['categories']}
        of_image: dict[Any, list[dict]] = {image['id']: [] for image in instances['images']}
        for annotation in instances['annotations']:
            of_image[annotation['image_id']].append(annotation)
        return [
            {
                'id': image['id'],
                'image_id': image['file_name'][drop_prefix:],
                'height': image['height'],
                'width': image['width'],
                'anno': [
                    _object(annotation, image, names, clip_start)
                    for annotation in of_image[image['id']]
                    if _is_usable(annotation, image)
                ],
            }
            for image in instances['images']
        ]
    except (KeyError, TypeError) as error:
        raise _format_error('instances in COCO format', error) from error


def _check_prefix(images: Sequence[dict[str, Json]], length: int) -> None:
    """Refuse names of which more, or less, than leading folders would be dropped."""
    for index, image in enumerate(images):
        if image['file_name'][length - 1 : length] != '/':
            raise AnnotationError(
                'the annotation file',
                f'names the image {image["file_name"]!r}; expected {length} characters of leading '
                "folders to drop, as in Objects365's 'images/v1/patch0/....jpg'.",
                key=f'images[{index}].file_name',
                fix='Names that begin at the folder of the images are read by the kind coco.',
            )


def _is_usable(annotation: dict[str, Json], image: dict[str, Json]) -> bool:
    x, y, width, height = annotation['bbox']
    inside_x = min(x + width, image['width']) - max(x, 0)
    inside_y = min(y + height, image['height']) - max(y, 0)
    return inside_x > 0 and inside_y > 0 and annotation['area'] > 0 and width >= 1 and height >= 1


def _object(
    annotation: dict[str, Json], image: dict[str, Json], names: dict, clip_start: bool
) -> dict[str, Json]:
    x, y, width, height = annotation['bbox']
    start = (max(x, 0), max(y, 0)) if clip_start else (x, y)
    return {
        **annotation,
        'category_name': names[annotation['category_id']],
        'bbox': [*start, min(x + width, image['width']), min(y + height, image['height'])],
        'ignore': int(bool(annotation.get('iscrowd', False))),
    }


def read_boxes_by_image(path: str | os.PathLike) -> list[dict[str, Json]]:
    """Read what :func:`boxes_by_image` made.

    Args:
        path: The json.

    Raises:
        AnnotationError: It is something else, such as the public file; entry and key are named.
    """
    content = load_json(path)
    fix = 'tools/prepare_data/derive_pink.py objects365 (or coco) makes it of the public file.'
    if not isinstance(content, list):
        raise AnnotationError(path, f'expected a list, got {type(content).__name__}.', fix=fix)
    for index, entry in enumerate(content):
        try:
            hash(entry['id']), entry['image_id'] + ''
            for item in entry['anno']:
                item['id'], item['ignore'], item['category_name'] + ''
                sides = _, _, _, _ = item['bbox']
                if not all(map(math.isfinite, sides)):
                    raise ValueError('a box of numbers that are not finite')
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AnnotationError(
                path,
                f'no boxes of an image: {type(error).__name__} {error}.',
                key=f'[{index}]',
                fix=fix,
            ) from error
    return content


def regions_as_expressions(region_descriptions: Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    """Visual Genome's ``region_descriptions.json`` -> a list of expressions with boxes.

    Returns:
        ``[{image_id: 'N.jpg', sentence, bbox xyxy}]``.

    Raises:
        AnnotationError: The file is in another format.
    """
    try:
        return [
            {
                'image_id': f'{region["image_id"]}.jpg',
                'sentence': region['phrase'],
                'bbox': [
                    region['x'],
                    region['y'],
                    region['x'] + region['width'],
                    region['y'] + region['height'],
                ],
            }
            for image in region_descriptions
            for region in image['regions']
        ]
    except (KeyError, TypeError) as error:
        raise _format_error('Visual Genome region descriptions', error) from error


def visual7w_splits(dataset: dict[str, Json]) -> dict[str, list[dict[str, Json]]]:
    """``dataset_v7w_pointing.json`` or ``dataset_v7w_telling.json`` -> questions by split.

    Every question gets ``image_id`` and ``file_name``; where there are boxes (pointing), the
    box ids of answer and choices are looked up, too.

    Returns:
        ``{'train': [...], 'val': [...], 'test': [...]}``.

    Raises:
        AnnotationError: The file is in another format.
    """
    splits: dict[str, list] = {'train': [], 'val': [], 'test': []}
    try:
        boxes = {box['box_id']: box for box in dataset.get('boxes', ())}
        for image in dataset['images']:
            for question in image['qa_pairs']:
                entry = dict(question)
                if boxes:
                    entry['answer_box'] = boxes[question['answer']]
                    entry['multiple_choices_box'] = [boxes[i] for i in question['multiple_choices']]
                entry['image_id'], entry['file_name'] = image['image_id'], image['filename']
                splits[image['split']].append(entry)
    except (KeyError, TypeError, AttributeError) as error:
        raise _format_error('Visual7W', error) from error
    return splits


def pointqa_local(
    dataset: dict[str, list[dict[str, Json]]], image_ids: Sequence[str]
) -> list[dict[str, Json]]:
    """PointQA's local questions -> one entry per object, of the images of a split.

    Raises:
        AnnotationError: The file is in another format.
    """
    try:
        return [
            {
                'id': entry['id'],
                'question': entry['question'],
                'all_objs': box,
                'points': point,
            }
            for image_id in image_ids
            for entry in dataset[str(image_id)]
            for box, point in zip(entry['all_objs'], entry['points'], strict=False)
        ]
    except (KeyError, TypeError) as error:
        raise _format_error('PointQA (local)', error) from error


def pointqa_look_twice(
    dataset: dict[str, list[dict[str, Json]]], image_ids: Sequence[str]
) -> list[dict[str, Json]]:
    """PointQA's look-twice questions of the images of a split, as one list.

    Raises:
        AnnotationError: The file is in another format.
    """
    try:
        return [entry for image_id in image_ids for entry in dataset[str(image_id)]]
    except (KeyError, TypeError) as error:
        raise _format_error('PointQA (look twice)', error) from error


def iconqa_questions(folders: Mapping[str, dict[str, Json]]) -> list[dict[str, Json]]:
    """IconQA's folders of one kind and split -> a list of questions, by number.

    Args:
        folders: Name of each folder (``iconqa/test/choose_txt/7``: ``'7'``) and what its
            ``data.json`` holds.

    Returns:
        ``[{image_id, question, choices, answer}]``; ``answer`` is an index.

    Raises:
        AnnotationError: A file is in another format, or its choices are pictures or missing.
    """
    try:
        ordered = sorted(folders, key=int)
        kinds = {folders[name].get('ques_type', 'choose_txt') for name in ordered}
        if kinds - {'choose_txt'}:
            raise AnnotationError(
                'the annotation file', f'is of the kind {sorted(kinds)}; only choose_txt has texts.'
            )
        return [
            {
                'image_id': name,
                'question': folders[name]['question'],
                'choices': [str(choice) for choice in folders[name]['choices']],
                'answer': int(folders[name]['answer']),
            }
            for name in ordered
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise _format_error('IconQA', error) from error


def _format_error(name: str, error: Exception) -> AnnotationError:
    return AnnotationError(
        'the annotation file', f'is not in the format of {name}: {type(error).__name__} {error}.'
    )
