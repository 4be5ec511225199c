"""MDETR's files of phrases with boxes: Flickr30k, COCO and Visual Genome in one form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flmm.registry import DATASETS
from flmm.structures import GroundingSample, Phrase, SkippedSample
from flmm.utils.boxes import check_xywh, xywh_to_xyxy
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json, resolve_under_root

from .base import GroundingDataset, PackedRecords
from .transforms.base import Item, Transform


@DATASETS.register_module()
class MDETRDataset(GroundingDataset):
    """Read ``final_mixed_train_*.json``, ``final_flickr_separateGT_*.json``, ``finetune_*.json``.

    COCO-like: an entry of ``images`` is an image with one ``caption``, an annotation a box with
    the characters that mean it (``tokens_positive``: pairs of start and end). All entries of one
    file make one sample; its phrases have ``meta['box_xyxy']``, of a phrase with several boxes
    the largest.

    Args:
        ann_file: The json.
        image_root: Folder of the images.
        whole_caption: A phrase is the whole caption (``finetune_refcoco*``), not the characters
            of its annotation.
        pipeline: Transforms, or their configs.
        name: First part of every ``sample_id``.

    Raises:
        AnnotationError: The file is in another form.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        whole_caption: bool = False,
        pipeline: Iterable[dict | Transform] = (),
        name: str = 'mdetr',
    ) -> None:
        super().__init__(name, pipeline)
        self.ann_file, self.image_root, self.whole_caption = ann_file, image_root, whole_caption
        content = load_json(ann_file)
        try:
            entries = {
                image['id']: (image['file_name'], image['caption']) for image in content['images']
            }
            of_file: dict[str, list[tuple[Any, ...]]] = {}
            for annotation in content['annotations']:
                file, caption = entries[annotation['image_id']]
                row = (
                    annotation['image_id'],
                    caption,
                    annotation['tokens_positive'],
                    annotation['bbox'],
                )
                of_file.setdefault(file, []).append(row)
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                ann_file,
                f'not in the format of MDETR: {type(error).__name__} {error}.',
                fix='It has images with a caption, annotations with bbox and tokens_positive.',
            ) from error
        self._records = PackedRecords(of_file.items())

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and options."""
        return {'dataset': self.name, 'whole_caption': self.whole_caption}

    def __len__(self) -> int:
        """Number of images."""
        return len(self._records)

    def sample_id(self, index: int) -> str:
        """``name/index``."""
        return f'{self.name}/{index}'

    def read_sample(self, index: int) -> Item:
        """Image ``index`` with all its phrases.

        Args:
            index: At least 0, less than the length.

        Returns:
            The sample, or a ``SkippedSample`` (``no_phrase``).

        Raises:
            AnnotationError: An annotation is broken.
        """
        file, rows = self._records[index]
        boxes: dict[tuple[Any, str], tuple[float, ...]] = {}
        try:
            path = resolve_under_root(self.image_root, file)
            for image_id, caption, spans, box in rows:
                text = caption
                if not self.whole_caption:
                    text = ' '.join(caption[start:end] for start, end in spans)
                text = text.strip()
                sides = tuple(float(v) for v in xywh_to_xyxy(check_xywh(box)))
                if text and _area(sides) > _area(boxes.get((image_id, text))):
                    boxes[image_id, text] = sides
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AnnotationError(
                self.ann_file, f'{type(error).__name__} {error}.', key=f'image {file!r}'
            ) from error
        sample = GroundingSample(self.sample_id(index), image_path=path)
        sample.meta = {'file_name': file}
        sample.phrases = [
            Phrase(text, meta={'box_xyxy': list(sides)}) for (_, text), sides in boxes.items()
        ]
        if not sample.phrases:
            return SkippedSample(sample.sample_id, 'no_phrase', f'no phrase of {file} has a box')
        return sample


def _area(box: tuple[float, ...] | None) -> float:
    return -1.0 if box is None else (box[2] - box[0]) * (box[3] - box[1])
