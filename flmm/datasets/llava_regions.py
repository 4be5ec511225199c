"""LLaVA-150k whose pictures are introduced by what a detector found in them (GPT4RoI)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from flmm.registry import DATASETS
from flmm.structures import REGION_PLACEHOLDER, Region, Turn
from flmm.utils.boxes import clip_xyxy
from flmm.utils.errors import AnnotationError, ImageError
from flmm.utils.image_io import image_size
from flmm.utils.safe_io import load_json, resolve_under_root

from .base import PackedRecords
from .instruction import Chooser
from .region_conversations import RegionDataset, RegionTalk, fill, plain
from .transforms.base import Transform

_IMAGE = '<image>'
# Sides of this share or more are pixels wide in every photograph: its size need not be known.
_SURELY_WIDE = 0.02

_Found = tuple[list[float], str]


@DATASETS.register_module()
class LLaVARegionDataset(RegionDataset):
    """Read ``llava_instruct_150k.json`` with detections of its images.

    In half of the draws the image is introduced with its detected regions, else without.

    Detections: a json list of ``{filename, pred_bboxes: [[x0, y0, x1, y1, score], ...], labels:
    [...]}``, boxes as shares of the image's sides; ``labels`` are names, or numbers in the list
    of names (``tools/prepare_data/convert_detections.py`` makes it from the released pickle).

    Args:
        ann_file: The conversations.
        detections_file: See above.
        image_root: Folder of the images.
        names_file: A json list of names, or an annotation file with ``categories`` (LVIS), in
            order of their ids; None where labels are names.
        pipeline: Transforms, or their configs.
        templates: See :func:`flmm.datasets.region_conversations.load_templates`.
        min_score: Of a detection.
        min_share: Least side of its box, as a share of the image's.
        max_regions: Most of an image; where none is good enough, the first ``fallback``, without
            those that are no pixel wide or high, which are counted as dropped.
        fallback: See ``max_regions``.
        describe: Share of draws with regions.
        seed: Of the random choices.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        detections_file: str,
        image_root: str,
        names_file: str | None = None,
        pipeline: Iterable[dict | Transform] = (),
        templates: str | Mapping[str, Any] | None = None,
        min_score: float = 0.3,
        min_share: float = 0.02,
        max_regions: int = 100,
        fallback: int = 10,
        describe: float = 0.5,
        seed: int = 0,
        name: str = 'llava_regions',
    ) -> None:
        names = None if names_file is None else _read_names(names_file)
        detections = _read_detections(detections_file, names)
        entries = load_json(ann_file)
        if not isinstance(entries, list):
            raise AnnotationError(
                ann_file, f'expected a list of conversations, got {type(entries).__name__}.'
            )
        self.min_score, self.min_share = min_score, min_share
        self.max_regions, self.fallback, self.describe = max_regions, fallback, describe
        # Of an image there are several conversations: each names its detections by their place.
        places = {image: place for place, image in enumerate(detections)}
        self.detections = PackedRecords(detections.values())
        records = [{**entry, 'detections': places.get(entry.get('image'))} for entry in entries]
        super().__init__(ann_file, records, image_root, name, 'llava', pipeline, templates, seed)

    def image_name(self, record: Any) -> str:
        """As the entry says."""
        return record['image']

    def draw(self, record: Any, chooser: Chooser) -> RegionTalk:
        """The conversation, its image introduced with or without regions."""
        turns = record['conversations']
        if not turns or [turn['from'] for turn in turns] != ['human', 'gpt'] * (len(turns) // 2):
            raise ValueError('conversations must alternate between human and gpt')
        if record['detections'] is None:
            raise ValueError(f'there are no detections of {record["image"]!r}')
        described = chooser.chance(self.describe)
        found = self._chosen(self.detections[record['detections']]) if described else []
        found, dropped = self._with_an_inside(found, record)
        if found:
            pieces = [
                fill(
                    chooser.choose(self.templates['region']),
                    token=REGION_PLACEHOLDER,
                    name=plain(name),
                )
                for _, name in found
            ]
            listed = chooser.choose(self.templates['joiner']).join(pieces)
            introduction = fill(chooser.choose(self.templates['described']), regions=listed)
        else:
            introduction = self.overview(chooser)
        regions = [
            Region(tuple(box), relative=True, meta={'category': name}) for box, name in found
        ]
        return RegionTalk(_introduced(turns, introduction), regions, dropped)

    def _with_an_inside(
        self, found: list[_Found], record: Any
    ) -> tuple[list[_Found], list[tuple[str, str]]]:
        """Those whose box is a pixel wide and high within the image, and the names of the others.

        One that is not would cost the whole conversation, which never speaks of it.
        """
        sides = [_sides(box) for box, _ in found]
        if all(side >= _SURELY_WIDE for pair in sides for side in pair):
            return found, []
        try:
            width, height = image_size(resolve_under_root(self.image_root, self.image_name(record)))
        except ImageError:
            width = height = math.inf  # loading it says so; until then any inside is one
        kept, dropped = [], []
        for number, ((box, name), (wide, high)) in enumerate(zip(found, sides, strict=True), 1):
            # Written so that nan is refused.
            if wide > 0 and high > 0 and wide * width >= 1 and high * height >= 1:
                kept.append((box, name))
            else:
                dropped.append((f'detection {number} ({name})', 'too_small'))
        return kept, dropped

    def _chosen(self, detections: Mapping[str, Any]) -> list[_Found]:
        pairs = list(zip(detections['boxes'], detections['names'], strict=True))
        good = [
            (box[:4], name)
            for box, name in pairs
            if box[4] > self.min_score
            and box[2] - box[0] > self.min_share
            and box[3] - box[1] > self.min_share
        ]
        return (good or [(box[:4], name) for box, name in pairs[: self.fallback]])[
            : self.max_regions
        ]


def _sides(box: list[float]) -> tuple[float, float]:
    x0, y0, x1, y1 = clip_xyxy(tuple(box), 1.0, 1.0)
    return x1 - x0, y1 - y0


def _introduced(turns: list[dict[str, str]], introduction: str) -> list[Turn]:
    """Turns in which the first ``<image>`` is the introduction, and no other is left."""
    written, seen = [], False
    for request, answer in zip(turns[::2], turns[1::2], strict=True):
        before, mark, after = request['value'].partition(_IMAGE)
        if mark and not seen:
            text = (plain(before) if before.strip() else before) + introduction
            text += plain(after) if after.strip() else after
            seen = True
        else:
            text = plain(request['value'])
        written.append(Turn(text, plain(answer['value'])))
    if not seen:
        raise ValueError('no request names the image')
    return written


def _read_names(path: str) -> list[str]:
    content = load_json(path)
    if isinstance(content, dict):
        content = [c['name'] for c in sorted(content.get('categories', ()), key=lambda c: c['id'])]
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise AnnotationError(path, 'expected a list of names, or a file with categories.')
    return content


def _read_detections(path: str, names: list[str] | None) -> dict[str, dict[str, Any]]:
    found = {}
    for index, entry in enumerate(load_json(path)):
        try:
            labels = [_label(label, names) for label in entry['labels']]
            boxes = [[float(v) for v in box] for box in entry['pred_bboxes']]
            if len(labels) != len(boxes) or not all(len(box) == 5 for box in boxes):
                raise ValueError(f'{len(boxes)} boxes of 5 numbers, {len(labels)} labels')
            found[entry['filename']] = {'boxes': boxes, 'names': labels}
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise AnnotationError(
                path, f'no detections: {type(error).__name__} {error}.', key=f'[{index}]'
            ) from error
    return found


def _label(label: Any, names: list[str] | None) -> str:
    if isinstance(label, str):
        return label
    if names is None:
        raise ValueError('labels are numbers: give names_file')
    if not 0 <= label < len(names):
        raise ValueError(f'label {label} of {len(names)} names')
    return names[label]
