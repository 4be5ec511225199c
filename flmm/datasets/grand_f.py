"""GranD-f: captions whose phrases have masks, to train and score grounded conversation (GCG)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flmm.registry import DATASETS
from flmm.structures import CocoMask, GroundingSample, Phrase, TextPiece
from flmm.utils.errors import AnnotationError, InputFileError
from flmm.utils.safe_io import load_json, resolve_under_root
from flmm.utils.text import split_by_spans

from .base import GroundingDataset, PackedRecords, repeated_ids
from .transforms.base import Item, Transform

Span = tuple[int, int]


@DATASETS.register_module()
class GranDfDataset(GroundingDataset):
    """Read GranD-f, in the layout of its training files or of its evaluation files.

    Training: ``ann_file``, a list of ``{file_name, caption, groundings: {phrase:
    {token_positives: [start, end], rle_masks: [...]}}}`` (``GranDf_HA_GCG_train.json``,
    ``OpenPsgGCG_*.json``).

    Evaluation: ``caption_file`` (``{val,test}_gcg_coco_caption_gt.json``: COCO ``images``, and
    ``annotations`` with ``image_id, caption, labels``) with ``ann_file``
    (``*_gcg_coco_mask_gt.json``: COCO annotations with masks, in the order of the labels). An
    image without ``file_name`` is ``<id>.jpg``.

    A sample's text is the caption, tokenised at once; ``meta['references']`` holds the caption
    too. A phrase that does not occur in the caption, or only inside another one, has no tokens.

    Args:
        ann_file: See above.
        image_root: Folder of the images.
        caption_file: See above; None for a training file.
        pipeline: Transforms, or their configs.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        caption_file: str | None = None,
        pipeline: Iterable[dict | Transform] = (),
        name: str = 'grand_f',
    ) -> None:
        super().__init__(name, pipeline)
        self.ann_file, self.image_root, self.caption_file = ann_file, image_root, caption_file
        content = load_json(ann_file)
        self._repeated: list[AnnotationError] = []
        try:
            if caption_file is None:
                records = [dict(record) for record in content]
            else:
                captions = load_json(caption_file)
                records = _join_evaluation_files(content, captions)
                self._repeated = [
                    *repeated_ids(ann_file, 'images', 'id', content.get('images', ())),
                    *repeated_ids(caption_file, 'images', 'id', captions['images']),
                ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AnnotationError(
                ann_file if caption_file is None else f'{ann_file} / {caption_file}',
                f'is not in a format of GranD-f: {type(error).__name__} {error}.',
                fix='Training files are lists; evaluation needs ann_file and caption_file.',
            ) from error
        if not records:
            raise AnnotationError(ann_file, 'holds no image.')
        self._records = PackedRecords(records)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and layout."""
        layout = 'training' if self.caption_file is None else 'evaluation'
        return {'dataset': self.name, 'layout': layout}

    def problems(self, count: int | None = None) -> Iterator[InputFileError]:
        """What is wrong with the annotations, ids that stand for two different images included.

        Args:
            count: Only the first captions; None for all.

        Yields:
            One error per problem.
        """
        yield from self._repeated
        yield from super().problems(count)

    def __len__(self) -> int:
        """Number of captions."""
        return len(self._records)

    def sample_id(self, index: int) -> str:
        """``name/index``."""
        return f'{self.name}/{index}'

    def read_sample(self, index: int) -> Item:
        """Caption ``index``.

        Args:
            index: At least 0, less than the length.

        Returns:
            The sample.

        Raises:
            AnnotationError: The record is broken.
        """
        record = self._records[index]
        try:
            if self.caption_file is None:
                caption = record['caption'].strip('"').strip()
                shift = record['caption'].find(caption)
                texts, spans, masks = _read_groundings(record['groundings'], shift)
            else:
                caption, texts = record['caption'], record['labels']
                spans, masks = find_spans(caption, texts), [[m] for m in record['masks']]
            if len(texts) != len(masks):
                raise ValueError(f'{len(texts)} phrases but {len(masks)} masks')
            targets = [CocoMask(tuple(parts)) for parts in masks]
            file_name = record['file_name']
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise AnnotationError(
                self.ann_file, f'{type(error).__name__} {error}.', key=f'[{index}]'
            ) from error
        kept = drop_overlapping(spans, len(caption))
        pieces = split_by_spans(caption, [span for span in kept if span is not None])
        owner = [phrase for phrase, span in enumerate(kept) if span is not None]
        return GroundingSample(
            self.sample_id(index),
            image_path=resolve_under_root(self.image_root, file_name),
            pieces=[TextPiece(text, owner[p] if p >= 0 else -1) for text, p in pieces],
            phrases=[Phrase(text, target) for text, target in zip(texts, targets, strict=True)],
            joint_tokens=True,
            meta={'references': [caption], 'file_name': file_name},
        )


def _read_groundings(
    groundings: dict[str, dict], shift: int
) -> tuple[list[str], list[Span | None], list[list]]:
    items = sorted(groundings.items(), key=lambda item: item[1]['token_positives'][0])
    spans = []
    for _, grounding in items:
        start, end = grounding['token_positives']
        spans.append((start - shift, end - shift))
    return [text for text, _ in items], spans, [grounding['rle_masks'] for _, grounding in items]


def _join_evaluation_files(masks: dict, captions: dict) -> list[dict[str, Any]]:
    """One record per caption: file name, caption, labels, masks."""
    names = {image['id']: image.get('file_name') for image in masks.get('images', ())}
    names |= {i['id']: i['file_name'] for i in captions['images'] if i.get('file_name')}
    masks_of: dict[Any, list] = {}
    for annotation in masks['annotations']:
        masks_of.setdefault(annotation['image_id'], []).append(annotation['segmentation'])
    known = {image['id'] for image in captions['images']}
    records = []
    for annotation in captions['annotations']:
        image_id = annotation['image_id']
        if image_id not in known:
            raise ValueError(f'a caption of the unknown image {image_id!r}')
        records.append(
            {
                'file_name': names.get(image_id) or f'{image_id}.jpg',
                'caption': annotation['caption'],
                'labels': list(annotation['labels']),
                'masks': masks_of.get(image_id, []),
            }
        )
    return records


def find_spans(caption: str, phrases: Sequence[str]) -> list[Span | None]:
    """Where phrases stand in a caption: each at its first place that no earlier one took.

    Args:
        caption: The text.
        phrases: In any order; letter case does not matter.

    Returns:
        ``(start, end)`` in characters, None for a phrase that has no place.
    """
    lower, taken, spans = caption.lower(), set(), []
    for phrase in phrases:
        wanted, start = phrase.lower().strip(), -1
        span = None
        while wanted and (start := lower.find(wanted, start + 1)) >= 0:
            if start not in taken and start + len(wanted) <= len(caption):
                span = (start, start + len(wanted))
                taken.add(start)
                break
        spans.append(span)
    return spans


def drop_overlapping(spans: Sequence[Span | None], length: int) -> list[Span | None]:
    """Keep spans that lie inside the text and outside longer ones; the others become None.

    Args:
        spans: ``(start, end)`` or None.
        length: Of the text.
    """
    kept: list[Span | None] = [None] * len(spans)
    order = sorted(
        (i for i, s in enumerate(spans) if s is not None and 0 <= s[0] < s[1] <= length),
        key=lambda i: (spans[i][0] - spans[i][1], spans[i]),
    )
    for i in order:
        start, end = spans[i]
        if all(other is None or end <= other[0] or other[1] <= start for other in kept):
            kept[i] = (start, end)
    return kept
