"""PixelLLM's TFRecords as the plain files that the readers take.

The release's builders (scenic, projects/pixel_llm/tools) write four kinds of records, told apart
by their features: Localized Narratives, regions, referring expressions and conversations. A shard
becomes image files and a file of one line for each image; in the end the lines of all shards become
one annotation file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flmm.utils.errors import AnnotationError, ImageError
from flmm.utils.image_io import decode_image
from flmm.utils.json_lines import read_json_lines
from flmm.utils.masks import encode_rle
from flmm.utils.safe_io import write_json
from flmm.utils.tfrecord import Example, read_examples
from flmm.utils.traces import NUM_SAMPLES

from .expressions import add_expression
from .record_images import RecordImages

#: Kind of record -> the feature that only it has.
KINDS = {
    'narratives': 'caption/string',
    'regions': 'regions/bbox',
    'expressions': 'objects/refexp/sent/ragged_flat_values',
    'conversations': 'conversations/human',
}
#: Most records that a summary names.
MAX_NAMED = 20


class RecordFiles:
    """Turns the shards of one data set into image files and lines.

    Args:
        bar: Wraps what is gone through.
    """

    def __init__(self, bar: Callable[[Iterable], Iterable] = iter) -> None:
        self.bar = bar

    def convert(self, source: str | os.PathLike, out: Path) -> dict[str, Any]:
        """Convert a shard: images to ``images/``, annotations to ``parts/{shard}.jsonl``.

        Images of other formats than JPEG and PNG become PNG; a record whose image (or mask) cannot
        be read is left out.

        Args:
            source: The TFRecord file.
            out: Folder to write to.

        Returns:
            ``kind``, number of records with their ``images``, how many images were ``transcoded``,
            how many records are ``unreadable``, and the first ``MAX_NAMED`` of these by name.

        Raises:
            InputFileError: It is missing, broken, or of no known kind; the record is named.
        """
        kinds: set[str] = set()
        written, unreadable = 0, []
        (out / 'images').mkdir()
        (out / 'parts').mkdir()
        images = RecordImages(out / 'images')
        with open(out / 'parts' / f'{Path(source).name}.jsonl', 'w', encoding='utf-8') as file:
            for number, example in enumerate(self.bar(read_examples(source))):
                try:
                    kind = _kind(example)
                    kinds.add(kind)
                    row = _ROWS[kind](example, images)
                except ImageError as error:
                    name = Path(error.path).name
                    unreadable.append(f'record {number}: {name} {error.problem}')
                    continue
                except (KeyError, IndexError, ValueError, TypeError) as error:
                    raise AnnotationError(
                        source, f'{type(error).__name__} {error}.', key=f'record {number}'
                    ) from error
                written += 1
                file.write(json.dumps({'kind': kind, **row}, ensure_ascii=False) + '\n')
        if len(kinds) > 1:
            raise AnnotationError(source, f'holds records of several kinds: {sorted(kinds)}.')
        return {
            'kind': next(iter(kinds), None),
            'images': written,
            'transcoded': images.transcoded,
            'unreadable': len(unreadable),
            'unreadable_records': unreadable[:MAX_NAMED],
        }


def merge_parts(parts: Sequence[str | os.PathLike], out: Path) -> dict[str, Any]:
    """Write one annotation file of the lines of all shards.

    Args:
        parts: What :meth:`RecordFiles.convert` wrote, in order.
        out: Folder for ``narratives.jsonl`` or ``{kind}.json``.

    Returns:
        ``kind`` and number of ``entries``.

    Raises:
        AnnotationError: Shards of several kinds, or none at all.
    """
    rows = [row for part in parts for row in read_json_lines(part)]
    kinds = sorted({str(row.get('kind')) for row in rows})
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise AnnotationError(out, f'expected records of one kind, got {kinds}.')
    kind = kinds[0]
    if kind == 'narratives':
        lines = [record for row in rows for record in row['narratives']]
        text = ''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in lines)
        (out / 'narratives.jsonl').write_text(text, encoding='utf-8')
        return {'kind': kind, 'entries': len(lines)}
    merged = _MERGES[kind](rows)
    write_json(out / f'{kind}.json', merged, indent=None)
    return {'kind': kind, 'entries': len(merged if isinstance(merged, list) else rows)}


def _kind(example: Example) -> str:
    for kind, feature in KINDS.items():
        if feature in example.features:
            return kind
    raise ValueError(f'no kind of PixelLLM has the features {sorted(example.features)[:8]}')


def _narratives(example: Example, images: RecordImages) -> dict[str, Any]:
    image_id = _text(example.features['image/id'][0])
    file, _, _ = images.save(example.features['image/encoded'][0], image_id.zfill(12))
    captions = example.features['caption/string']
    points, utterances = example.lists['caption/point'], example.lists['caption/utterance']
    if not len(captions) == len(points) == len(utterances):
        raise ValueError('captions, points and utterances are not equally many')
    dataset = _text(example.features['meta/dataset_id'][0])
    records = []
    for caption, places, said in zip(captions, points, utterances, strict=True):
        trace = np.array(places, dtype=np.float64).reshape(len(said), NUM_SAMPLES, 2)
        timed, traces = [], []
        for index, utterance in enumerate(said):
            # The records do not say when: an utterance lasts a second, then there is one of pause.
            start, end = 2.0 * index, 2.0 * index + 1.0
            timed.append({'utterance': _text(utterance), 'start_time': start, 'end_time': end})
            times = np.linspace(start, end, NUM_SAMPLES)
            traces.append(
                [
                    {'x': x, 'y': y, 't': t}
                    for (x, y), t in zip(trace[index].tolist(), times.tolist(), strict=True)
                ]
            )
        record = {'dataset_id': dataset, 'image_id': image_id, 'caption': _text(caption)}
        records.append({**record, 'timed_caption': timed, 'traces': traces})
    return {'file_name': file, 'narratives': records}


def _regions(example: Example, images: RecordImages) -> dict[str, Any]:
    features = example.features
    image_id = int(features['img_id'][0])
    file, width, height = images.save(features['image'][0], str(image_id))
    boxes = _boxes_xywh(features['regions/bbox'], width, height)
    rows = zip(features['regions/id'], boxes, features['regions/phrase'], strict=True)
    return {
        'image': {'id': image_id, 'file_name': file, 'width': width, 'height': height},
        'annotations': [
            {
                'id': int(number),
                'image_id': image_id,
                'bbox': box,
                'area': box[2] * box[3],
                'category_id': 1,
                'iscrowd': 0,
                'caption': _text(phrase),
            }
            for number, box, phrase in rows
        ],
    }


def _expressions(example: Example, images: RecordImages) -> dict[str, Any]:
    features = example.features
    image_id = int(features['image/id'][0])
    file, width, height = images.save(features['image'][0], str(image_id))
    boxes = _boxes_xywh(features['objects/bbox'], width, height)
    masks = features.get('objects/mask', [None] * len(boxes))
    texts = iter(features['objects/refexp/sent/ragged_flat_values'])
    # Of MDETR's files also what part of the text means the object.
    parts = features.get('objects/refexp/sent_pos/ragged_flat_values')
    parts = None if parts is None else iter(parts)
    counts = features['objects/refexp/refexp_id/ragged_row_lengths_0']
    objects = []
    for box, mask, count in zip(boxes, masks, counts, strict=True):
        said = []
        for _ in range(int(count)):
            text = _text(_next(texts))
            part = text if parts is None else _text(_next(parts))
            start = max(text.find(part), 0)
            said.append([text, [start, start + len(part)]])
        objects.append({'bbox': box, 'expressions': said, 'mask': _mask(mask, width, height)})
    if next(texts, None) is not None:
        raise ValueError('there are more expressions than the objects have')
    image = {'original_id': image_id, 'file_name': file, 'width': width, 'height': height}
    return {'image': image, 'objects': objects}


def _conversations(example: Example, images: RecordImages) -> dict[str, Any]:
    features = example.features
    name, content = _text(features['image/id'][0]), features['image/encoded'][0]
    # The id is that of the conversation: those of a mix of data sets repeat, with other images,
    # and may hold slashes. The content names its file.
    file, _, _ = images.save(content, hashlib.sha256(content).hexdigest()[:24])
    turns = []
    for asked, answered in zip(
        features['conversations/human'], features['conversations/agent'], strict=True
    ):
        turns.append({'from': 'human', 'value': _text(asked)})
        turns.append({'from': 'gpt', 'value': _text(answered)})
    return {'id': name, 'image': file, 'conversations': turns}


_ROWS = {
    'narratives': _narratives,
    'regions': _regions,
    'expressions': _expressions,
    'conversations': _conversations,
}


def _merge_regions(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        'images': [row['image'] for row in rows],
        'annotations': [annotation for row in rows for annotation in row['annotations']],
        'categories': [{'id': 1, 'name': 'object'}],
    }


def _merge_expressions(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    part: dict[str, list] = {'images': [], 'annotations': []}
    for row in rows:
        for item in row['objects']:
            for text, span in item['expressions']:
                number = len(part['images'])
                add_expression(
                    part, number, row['image'], text, item['bbox'], item['mask'], tuple(span)
                )
    return part


def _merge_conversations(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in ('id', 'image', 'conversations')} for row in rows]


_MERGES = {
    'regions': _merge_regions,
    'expressions': _merge_expressions,
    'conversations': _merge_conversations,
}


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise ValueError(f'expected bytes of a text, got {value!r:.40}')
    return value.decode('utf-8')


def _next(texts: Any) -> bytes:
    found = next(texts, None)
    if found is None:
        raise ValueError('there are fewer expressions than the objects have')
    return found


def _boxes_xywh(values: Sequence[float], width: int, height: int) -> list[list[float]]:
    """Boxes ``y0, x0, y1, x1`` in 0..1 as COCO's."""
    boxes = np.array(values, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise ValueError('a box has coordinates that are nan or infinite')
    boxes = boxes.clip(0, 1) * [height, width, height, width]
    y0, x0, y1, x1 = boxes.T
    return np.stack([x0, y0, (x1 - x0).clip(0), (y1 - y0).clip(0)], axis=1).tolist()


def _mask(content: bytes | None, width: int, height: int) -> dict[str, Any] | None:
    """RLE of the PNG of a mask."""
    if content is None:
        return None
    image = decode_image(content, 'a mask')
    if image.size != (width, height):
        raise ValueError(f'a mask of {image.size} does not fit its image')
    return encode_rle(np.asarray(image.convert('L')) > 127)
