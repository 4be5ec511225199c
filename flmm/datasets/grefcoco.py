"""gRefCOCO: expressions that name no object, one, or several of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from flmm.registry import DATASETS
from flmm.structures import CocoMask, GroundingSample, Phrase, TextPiece
from flmm.utils.boxes import check_xywh, xywh_to_xyxy
from flmm.utils.errors import AnnotationError, InputFileError
from flmm.utils.safe_io import load_json, load_refs_pickle, resolve_under_root

from .base import GroundingDataset, PackedRecords, repeated_ids
from .transforms.base import Item, Transform

NO_TARGET = -1


@DATASETS.register_module()
class GRefCOCODataset(GroundingDataset):
    """Read ``grefs(unc).json`` (or ``.p``) with ``instances.json``, as gRefCOCO publishes them.

    A ref has a list ``ann_id``, which is ``[-1]`` for an expression that names nothing in the
    image; the mask of such a phrase is empty. Crowd annotations are left out of a mask, as in the
    official code. Each sentence of each ref is a sample of its own, unless ``concat``.

    Broken records become samples at the end that are skipped as ``annotation_invalid``.

    Args:
        ann_file: ``instances.json``.
        split_file: ``grefs(unc).json``.
        image_root: Folder of the images (``train2014``).
        split: ``train``, ``val``, ``testA`` or ``testB``.
        pipeline: Transforms, or their configs.
        sentence: ``all`` (official) or ``first`` of each ref.
        concat: All expressions of an image in one sample.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        split_file: str,
        image_root: str,
        split: str = 'val',
        pipeline: Iterable[dict | Transform] = (),
        sentence: Literal['all', 'first'] = 'all',
        concat: bool = False,
        name: str = 'grefcoco',
    ) -> None:
        super().__init__(name, pipeline)
        if sentence not in ('all', 'first'):
            raise ValueError(f"sentence must be 'all' or 'first', got {sentence!r}.")
        self.ann_file, self.split_file, self.image_root = ann_file, split_file, image_root
        self.split, self.sentence, self.concat = split, sentence, concat
        expressions, self._invalid = self._read()
        if not expressions and not self._invalid:
            raise AnnotationError(split_file, f'has no ref of split {split!r}.')
        groups: dict[Any, list[dict[str, Any]]] = {}
        for index, item in enumerate(expressions):
            groups.setdefault(item['image_id'] if concat else ('one', index), []).append(item)
        self._samples = PackedRecords(groups.values())

    def _read(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Expressions of the split; what is wrong with the broken refs."""
        load = load_refs_pickle if str(self.split_file).endswith('.p') else load_json
        refs, instances = load(self.split_file), load_json(self.ann_file)
        try:
            annotations = {a['id']: a for a in instances['annotations']}
            images = {i['id']: i['file_name'] for i in instances['images']}
            chosen = [ref for ref in refs if ref['split'] == self.split]
            self._repeated = [
                *repeated_ids(self.ann_file, 'annotations', 'id', instances['annotations']),
                *repeated_ids(self.ann_file, 'images', 'id', instances['images']),
            ]
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                f'{self.split_file} / {self.ann_file}',
                f'not in the format of gRefCOCO: {type(error).__name__} {error}.',
                fix='A ref has ref_id, ann_id (a list), image_id, split and sentences with raw.',
            ) from error
        expressions, invalid, seen = [], [], set()
        for ref in chosen:
            try:
                if ref['ref_id'] in seen:
                    raise ValueError('its ref_id occurs twice')
                seen.add(ref['ref_id'])
                expressions += self._parse(ref, annotations, images)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                invalid.append(f'ref {ref.get("ref_id")!r}: {type(error).__name__} {error}')
        return expressions, invalid

    def _parse(self, ref: dict, annotations: dict, images: dict) -> list[dict[str, Any]]:
        ids = ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]
        if not ids or (NO_TARGET in ids and ids != [NO_TARGET]):
            raise ValueError(f'ann_id {ids} is neither [-1] nor ids of annotations')
        targets = [] if ids == [NO_TARGET] else [annotations[ann_id] for ann_id in ids]
        if any(target['image_id'] != ref['image_id'] for target in targets):
            raise ValueError('it names an annotation of another image')
        solid = [target for target in targets if not target.get('iscrowd')]
        if targets and not solid:
            raise ValueError('all its annotations are crowds')
        sentences = [sentence['raw'].lower() for sentence in ref['sentences']]
        if not sentences:
            raise ValueError('it has no sentence')
        return [
            {
                'text': text,
                'ref_id': ref['ref_id'],
                'image_id': ref['image_id'],
                'file_name': images[ref['image_id']],
                'ann_ids': [target['id'] for target in solid],
                'segmentations': [target['segmentation'] for target in solid],
                'boxes': [list(xywh_to_xyxy(check_xywh(target['bbox']))) for target in solid],
            }
            for text in (sentences if self.sentence == 'all' else sentences[:1])
        ]

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and protocol."""
        return {
            'dataset': self.name,
            'split': self.split,
            'sentence': self.sentence,
            'concat': self.concat,
        }

    def problems(self, count: int | None = None) -> Iterator[InputFileError]:
        """What is wrong with the annotations, ids that stand for two different records included.

        Args:
            count: Only the first samples; None for all.

        Yields:
            One error per problem.
        """
        yield from self._repeated
        yield from super().problems(count)

    def __len__(self) -> int:
        """Number of samples, broken records included."""
        return len(self._samples) + len(self._invalid)

    def sample_id(self, index: int) -> str:
        """``name/split/index``."""
        return f'{self.name}/{self.split}/{index}'

    def read_sample(self, index: int) -> Item:
        """Expression (or image) ``index``.

        Args:
            index: At least 0, less than the length.

        Returns:
            The sample; a phrase without target has a mask without any segmentation.

        Raises:
            AnnotationError: The record is broken.
        """
        if index >= len(self._samples):
            raise AnnotationError(self.split_file, self._invalid[index - len(self._samples)])
        items = self._samples[index]
        sample = GroundingSample(
            self.sample_id(index),
            image_path=resolve_under_root(self.image_root, items[0]['file_name']),
        )
        sample.meta = {'image_id': items[0]['image_id'], 'file_name': items[0]['file_name']}
        for item in items:
            sample.pieces += [
                TextPiece(item['text'], len(sample.phrases)),
                TextPiece('.', separator=True),
            ]
            sample.phrases.append(
                Phrase(
                    item['text'],
                    CocoMask(tuple(item['segmentations'])),
                    plural=len(item['ann_ids']) > 1,
                    meta={
                        'ref_id': item['ref_id'],
                        'ann_ids': item['ann_ids'],
                        'boxes_xyxy': item['boxes'],
                    },
                )
            )
        return sample
