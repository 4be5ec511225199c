"""Captions of regions: Visual Genome, and RefCOCO/+/g turned round (GPT4RoI)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from flmm.registry import DATASETS
from flmm.structures import SkippedSample, Turn
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .coco_detection import REGION_KEYS, group_by_image, with_only
from .genome_regions import read_region_descriptions
from .instruction import Chooser
from .refcoco import RefCOCODataset
from .region_conversations import RegionDataset, RegionTalk, plain, usable_regions, with_overview
from .region_shapes import RegionShapes
from .transforms.base import Item, Transform, skip_reason

LAYOUTS = ('annotations', 'images', 'visual_genome')


@DATASETS.register_module()
class RegionCaptionDataset(RegionDataset):
    """Regions with captions, one turn per region, in random order.

    Layouts of the file: ``annotations``, COCO's with a ``caption`` in each annotation (Visual
    Genome as GRiT prepared it, ``train.json``); ``images``, COCO's with a ``caption`` in each
    image (RefCOCO/+/g as MDETR prepared them, ``finetune_refcoco_train.json``);
    ``visual_genome``, its own ``region_descriptions.json``.

    To evaluate (``ask='one'``) each region is a sample of its own whose answer is to be written;
    ``meta['references']`` holds the true captions. With ``company`` other regions of the image
    are asked about before it in the same conversation, and the model answers them all.

    Args:
        ann_file: See above.
        image_root: Folder of the images.
        layout: One of ``LAYOUTS``.
        kind: Whose templates: ``visual_genome``, ``refcoco``, ``refcoco_plus``, ``refcocog``.
        pipeline: Transforms, or their configs.
        templates: See :func:`flmm.datasets.region_conversations.load_templates`.
        ask: ``'all'`` regions of an image with their captions, or each ``'one'`` by itself.
        company: Regions asked about before it; fewer where an image has not as many.
        repeat_company: Ask about some of them again where it has not as many.
        max_regions: Most regions of a conversation.
        min_words: Shorter captions are dropped (3 officially for RefCOCO and RefCOCO+).
        min_share: Least side of a box as a share of the image's (2 pixels of 224 officially).
        sizes_file: Of the layout ``visual_genome``: ``image_data.json``. Without it nobody knows
            how large an image is, so ``min_share`` is not asked of its boxes.
        strip_prefix: Taken off the file names (``COCO_train2014_`` where all of COCO's images lie
            in one folder under their bare numbers).
        shapes: See :class:`flmm.datasets.coco_detection.CocoDetectionDataset`.
        seed: Of the random choices.
        name: First part of every ``sample_id``.

    Raises:
        ValueError: An option is none of those named.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        layout: Literal['annotations', 'images', 'visual_genome'] = 'annotations',
        kind: str = 'visual_genome',
        pipeline: Iterable[dict | Transform] = (),
        templates: str | Mapping[str, Any] | None = None,
        ask: Literal['all', 'one'] = 'all',
        company: int = 0,
        repeat_company: bool = False,
        max_regions: int = 15,
        min_words: int = 1,
        min_share: float = 2 / 224,
        sizes_file: str | None = None,
        strip_prefix: str = '',
        shapes: Mapping[str, float] | None = None,
        seed: int = 0,
        name: str = 'region_captions',
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f'layout must be one of {LAYOUTS}, got {layout!r}.')
        if ask not in ('all', 'one'):
            raise ValueError(f"ask must be 'all' or 'one', got {ask!r}.")
        self.ask, self.company, self.repeat_company = ask, company, repeat_company
        self.strip_prefix, self.sizes_file = strip_prefix, sizes_file
        self.max_regions, self.min_words, self.min_share = max_regions, min_words, min_share
        self.shapes = RegionShapes(shapes or {})
        keys = (*REGION_KEYS, 'caption', 'references', *self.shapes.keys)
        records = with_only(self.load(ann_file, layout), keys)
        # Of each sample its record and the annotation in it: a copy of the record for each of its
        # annotations would be as many times as large.
        self._targets = None if ask == 'all' else _targets(ann_file, records)
        super().__init__(ann_file, records, image_root, name, kind, pipeline, templates, seed)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and protocol."""
        settings = {name: getattr(self, name) for name in ('ask', 'company', 'repeat_company')}
        return {'dataset': self.name, **settings}

    def __len__(self) -> int:
        """Number of images, or of regions where each is asked about by itself."""
        return len(self.records) if self._targets is None else len(self._targets)

    def record(self, index: int) -> Any:
        """An image, with the place of the annotation that is asked about."""
        if self._targets is None:
            return super().record(index)
        image, target = map(int, self._targets[index])
        return {**super().record(image), 'target': target}

    def read_repetition(self, index: int, repetition: int) -> Item:
        """As its base; what cannot be asked about keeps its captions, to count as not said."""
        if self._targets is None:
            return super().read_repetition(index, repetition)
        try:
            item = super().read_repetition(index, repetition)
        except AnnotationError as error:
            item = SkippedSample(self.sample_id(index), skip_reason(error), str(error))
        if isinstance(item, SkippedSample):
            record = self.record(index)
            references = _references(record['annotations'][record['target']])
            item = replace(item, references=tuple(references))
        return item

    def image_name(self, record: Any) -> str:
        """Its ``file_name``, without ``strip_prefix``."""
        return record['file_name'].removeprefix(self.strip_prefix)

    def load(self, ann_file: str, layout: str) -> list[dict[str, Any]]:
        """Images with their captioned annotations."""
        if layout == 'visual_genome':
            return read_region_descriptions(ann_file, self.sizes_file)
        return _read(ann_file, layout)

    def draw(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        """One turn per region, or the one that is asked about, with its company before it."""
        if 'target' in record:
            return self._draw_one(record, chooser)
        kept, dropped = self._usable(record)
        if not kept:
            return None
        kept = chooser.shuffled(kept)[: self.max_regions]
        given, without = self._give(kept, record, chooser)
        return self._talk(given, chooser, dropped + without) if given else None

    def _give(self, kept: list, record: Any, chooser: Chooser) -> tuple[list, list]:
        return self.shapes.give(kept, (record['height'], record['width']), chooser)

    def _draw_one(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        wanted = record['annotations'][record['target']]
        kept, dropped = self._usable(record)
        target = [pair for pair in kept if pair[0] is wanted]
        if not target:
            return None
        others = chooser.shuffled(pair for pair in kept if pair[0] is not wanted)
        if self.repeat_company and others:
            others *= -(-self.company // len(others))
        company, without = self._give(others[: self.company], record, chooser)
        asked, missing = self._give(target, record, chooser)
        if not asked:
            return None
        talk = self._talk([*company, *asked], chooser, dropped + without + missing)
        talk.turns = [Turn(turn.request, None) for turn in talk.turns]
        talk.meta = {'references': _references(wanted)}
        return talk

    def _talk(self, given: list, chooser: Chooser, dropped: list) -> RegionTalk:
        turns, regions = [], []
        for number, (annotation, region) in enumerate(given, start=1):
            turns.append(Turn(self.question(chooser, number), plain(annotation['caption'])))
            meta = {'ann_id': annotation.get('id'), 'caption': annotation['caption']}
            regions.append(replace(region, meta=meta))
        return RegionTalk(with_overview(self.overview(chooser), turns), regions, dropped)

    def _usable(self, record: Any) -> tuple[list, list]:
        kept, dropped = usable_regions(
            record['annotations'], record['width'], record['height'], self.min_share
        )
        long_enough = []
        for annotation, box in kept:
            if len(plain(annotation['caption']).split()) >= self.min_words:
                long_enough.append((annotation, box))
            else:
                dropped.append((f'annotation {annotation.get("id")}', 'caption_too_short'))
        return long_enough, dropped


def _targets(path: str, records: list[dict[str, Any]]) -> np.ndarray:
    """``(N, 2)``: record and annotation of each region."""
    counts = [len(record['annotations']) for record in records]
    targets = [(i, j) for i, count in enumerate(counts) for j in range(count)]
    if not targets:
        raise AnnotationError(path, 'holds no region.')
    return np.array(targets, dtype=np.int32)


def _references(annotation: dict[str, Any]) -> list[str]:
    """True captions of a region; what is no text is none."""
    texts = annotation.get('references') or [annotation.get('caption')]
    return [plain(text) for text in texts if isinstance(text, str) and text.strip()]


def _read(path: str, layout: str) -> list[dict[str, Any]]:
    records = group_by_image(path, load_json(path))
    for record in records if layout == 'images' else ():
        for annotation in record['annotations']:
            annotation.setdefault('caption', record.get('caption'))
    return records


@DATASETS.register_module()
class RefCOCOCaptionDataset(RegionCaptionDataset):
    """RefCOCO, + or g of the ``refer`` release (``instances.json``, ``refs(*).p``), turned round.

    An object's expressions are its captions: one of them is trained on, all are references.

    Args:
        ann_file: ``instances.json``.
        split_file: ``refs(*).p``.
        image_root: Folder of the images.
        split: ``train``, ``val``, ...
        **options: Of :class:`RegionCaptionDataset`.
    """

    def __init__(
        self, ann_file: str, split_file: str, image_root: str, split: str = 'train', **options: Any
    ) -> None:
        self._split_file, self._split = split_file, split
        self._roots = image_root
        options.setdefault('name', 'refcoco_captions')
        super().__init__(ann_file, image_root, **options)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name, split and protocol."""
        return super().metainfo | {'split': self._split}

    def load(self, ann_file: str, layout: str) -> list[dict[str, Any]]:
        """Images with the objects that the split refers to; broken refs stay as broken records."""
        refs = RefCOCODataset(
            ann_file, self._split_file, self._roots, self._split, sentence='all', name=self._split
        )
        sizes = {image['id']: image for image in load_json(ann_file)['images']}
        records = []
        for index in range(len(refs)):
            try:
                sample = refs.read_sample(index)
            except AnnotationError as error:
                records.append({'broken': error.problem, 'annotations': [{}]})
                continue
            records.append(_caption_record(sample, sizes[sample.meta['image_id']]))
        return records

    def draw(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        """As its base; one of an object's expressions is drawn."""
        if 'broken' in record:
            raise ValueError(record['broken'])
        for annotation in record['annotations']:
            annotation['caption'] = chooser.choose(annotation['references'])
        return super().draw(record, chooser)


def _caption_record(sample: Any, image: dict[str, Any]) -> dict[str, Any]:
    """An image of RefCOCO whose phrases are grouped by object."""
    objects: dict[Any, dict[str, Any]] = {}
    for phrase in sample.phrases:
        if 'box_xyxy' not in phrase.meta:
            return {'broken': 'an object has no bbox', 'annotations': [{}]}
        x0, y0, x1, y1 = phrase.meta['box_xyxy']
        entry = objects.setdefault(
            phrase.meta['ann_id'],
            {
                'id': phrase.meta['ann_id'],
                'bbox': [x0, y0, x1 - x0, y1 - y0],
                'segmentation': phrase.mask.segmentations[0],
                'references': [],
            },
        )
        entry['references'].append(phrase.text)
    return {
        'file_name': image['file_name'],
        'width': image['width'],
        'height': image['height'],
        'annotations': list(objects.values()),
    }
