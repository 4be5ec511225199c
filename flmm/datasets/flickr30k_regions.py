"""Flickr30k Entities as conversations: a caption of several regions, then what each is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from flmm.registry import DATASETS
from flmm.structures import Region, Turn
from flmm.utils.errors import AnnotationError, InputFileError
from flmm.utils.safe_io import load_json

from .coco_detection import group_by_image
from .instruction import Chooser
from .region_conversations import (
    RegionDataset,
    RegionTalk,
    fill,
    plain,
    usable_regions,
    with_overview,
)
from .transforms.base import Transform

#: ``[/EN#283585/people Two young guys]`` in a line of ``Sentences/*.txt``.
_PHRASE = re.compile(r'\[/EN#(\d+)/\S+ ([^\]]*)\]')
_LARGEST_XML = 1_000_000


@DATASETS.register_module()
class Flickr30kRegionDataset(RegionDataset):
    """The caption is asked for with all its regions, then the words that mean each of them.

    Layouts: ``mdetr``, a COCO-like json with a ``caption`` in each image and ``tokens_positive``
    (spans of it) in each annotation (``final_flickr_mergedGT_train.json``); ``entities``, the
    data set's own folder with ``Sentences/<id>.txt`` and ``Annotations/<id>.xml``.

    Args:
        ann_file: The json, or the folder.
        image_root: Folder of the images.
        layout: See above.
        split_file: Of ``entities``: a text file with one image id per line; None for all.
        pipeline: Transforms, or their configs.
        templates: See :func:`flmm.datasets.region_conversations.load_templates`.
        max_regions: Most regions of a caption.
        min_share: Least side of a box as a share of the image's (2 pixels of 224 officially).
        seed: Of the random choices.
        name: First part of every ``sample_id``.

    Raises:
        ValueError: No such layout.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        layout: Literal['mdetr', 'entities'] = 'mdetr',
        split_file: str | None = None,
        pipeline: Iterable[dict | Transform] = (),
        templates: str | Mapping[str, Any] | None = None,
        max_regions: int = 150,
        min_share: float = 2 / 224,
        seed: int = 0,
        name: str = 'flickr30k',
    ) -> None:
        if layout == 'mdetr':
            records = group_by_image(ann_file, load_json(ann_file))
        elif layout == 'entities':
            records = list(_read_entities(Path(ann_file), split_file))
        else:
            raise ValueError(f"layout must be 'mdetr' or 'entities', got {layout!r}.")
        self.max_regions, self.min_share = max_regions, min_share
        super().__init__(
            ann_file, records, image_root, name, 'flickr30k', pipeline, templates, seed
        )

    @classmethod
    def also_reads(cls, config: Mapping[str, Any]) -> list[str]:
        """The two folders inside the one that is named; see :class:`GroundingDataset`."""
        if config.get('layout') != 'entities' or not isinstance(config.get('ann_file'), str):
            return []
        return [str(Path(config['ann_file'], name)) for name in ('Sentences', 'Annotations')]

    def image_name(self, record: Any) -> str:
        """Its ``file_name``."""
        return record['file_name']

    def draw(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        """The caption, then a turn per region."""
        if 'broken' in record:
            raise ValueError(record['broken'])
        kept, dropped = usable_regions(
            record['annotations'], record['width'], record['height'], self.min_share
        )
        if not kept:
            return None
        kept = chooser.shuffled(kept)[: self.max_regions]
        caption = plain(record['caption'])
        question = fill(
            chooser.choose(self.templates['questions']),
            regions=self.region_list(chooser, len(kept)),
        )
        turns, regions = [Turn(question, caption)], []
        for number, (annotation, box) in enumerate(kept, start=1):
            start, end = annotation['tokens_positive'][0]
            phrase = record['caption'][start:end]
            ask = chooser.choose(self.templates['phrase_questions'])
            turns.append(Turn(fill(ask, number=str(number)), plain(phrase)))
            regions.append(Region(box, meta={'ann_id': annotation.get('id'), 'caption': phrase}))
        return RegionTalk(with_overview(self.overview(chooser), turns), regions, dropped)


def _read_entities(folder: Path, split_file: str | None) -> Iterator[dict[str, Any]]:
    """One record per sentence; a broken file gives one record that says so."""
    if split_file is None:
        names = sorted(path.stem for path in (folder / 'Sentences').glob('*.txt'))
    else:
        try:
            names = Path(split_file).read_text(encoding='utf-8').split()
        except OSError as error:
            raise InputFileError(split_file, f'cannot be read: {error}.') from error
    for name in names:
        try:
            boxes, size = _read_boxes(folder / 'Annotations' / f'{name}.xml')
            lines = (folder / 'Sentences' / f'{name}.txt').read_text(encoding='utf-8')
        except (AnnotationError, OSError, UnicodeDecodeError) as error:
            yield {'broken': str(error), 'file_name': f'{name}.jpg'}
            continue
        for line in lines.splitlines():
            if line.strip():
                yield {'file_name': f'{name}.jpg', **size, **read_sentence(line, boxes)}


def read_sentence(
    line: str, boxes: Mapping[str, list[tuple[float, float, float, float]]]
) -> dict[str, Any]:
    """A line with marked phrases as a caption with annotations.

    Args:
        line: ``[/EN#1/people A man] rides [/EN#2/other a bicycle] .``
        boxes: Of each entity, ``(x, y, width, height)`` in pixels.

    Returns:
        ``caption`` and ``annotations`` (``id``, ``bbox``, ``tokens_positive``); an entity with
        several boxes has several annotations.
    """
    caption, annotations, position = '', [], 0
    for match in _PHRASE.finditer(line):
        caption += line[position : match.start()]
        span = [len(caption), len(caption) + len(match[2])]
        caption += match[2]
        position = match.end()
        for box in boxes.get(match[1], ()):
            annotations.append({'id': match[1], 'bbox': list(box), 'tokens_positive': [span]})
    return {'caption': (caption + line[position:]).rstrip(), 'annotations': annotations}


def _read_boxes(path: Path) -> tuple[dict[str, list], dict[str, int]]:
    text = path.read_bytes()
    # Entities of a document type could make a small file unfold without end.
    if len(text) > _LARGEST_XML or b'<!' in text:
        raise AnnotationError(path, 'is no annotation of Flickr30k Entities (too large, or a DTD).')
    boxes: dict[str, list] = {}
    try:
        root = ElementTree.fromstring(text)
        size = {side: int(root.findtext(f'size/{side}')) for side in ('width', 'height')}
        for item in root.iter('object'):
            corners = item.find('bndbox')
            if corners is None:
                continue
            x0, y0, x1, y1 = (
                float(corners.findtext(key)) for key in ('xmin', 'ymin', 'xmax', 'ymax')
            )
            for name in item.findall('name'):
                # Corners count pixels from 1 and include the last one.
                boxes.setdefault(name.text, []).append((x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1))
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise AnnotationError(path, f'is no annotation of Flickr30k Entities: {error}.') from error
    return boxes, size
