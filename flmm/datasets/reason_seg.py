"""ReasonSeg: questions whose answer is a region; one labelme-like json beside each image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from flmm.registry import DATASETS
from flmm.structures import CocoMask, GroundingSample, Phrase, SkippedSample, TextPiece
from flmm.utils.errors import AnnotationError, ImageError
from flmm.utils.masks import Shape, encode_rle
from flmm.utils.safe_io import load_json, open_image, resolve_under_root

from .base import GroundingDataset
from .transforms.base import Item, Transform

_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
_MOST_SHAPES = 10_000


@DATASETS.register_module()
class ReasonSegDataset(GroundingDataset):
    """Read a folder of ``NAME.json`` with ``NAME.jpg``, as ReasonSeg publishes its splits.

    A json has ``shapes`` (``label``, ``points``), ``text`` (the questions) and ``is_sentence``
    (a long question, else a short phrase). Shapes are drawn from the largest to the smallest:
    ``target`` sets pixels, a label with ``ignore`` in it takes them out of the score, ``flag`` is
    without meaning (official rules, drawn with OpenCV on whole coordinates as officially).

    The id of a sample says its kind, ``name/long/NAME`` or ``name/short/NAME``, so that
    ``ReasonSegMetric`` can score the kinds apart. Pixels to ignore are in
    ``sample.meta['ignore']`` as RLE.

    Args:
        root: Folder of the split, for example ``ReasonSeg/val``.
        pipeline: Transforms, or their configs.
        question: Which of a json's questions: ``first`` (official at evaluation) or ``all``.
        name: First part of every ``sample_id``.
    """

    def __init__(
        self,
        root: str,
        pipeline: Iterable[dict | Transform] = (),
        question: Literal['first', 'all'] = 'first',
        name: str = 'reason_seg',
    ) -> None:
        super().__init__(name, pipeline)
        if question not in ('first', 'all'):
            raise ValueError(f"question must be 'first' or 'all', got {question!r}.")
        self.root, self.question = root, question
        files = sorted(path.name for path in Path(root).glob('*.json'))
        if not files:
            raise AnnotationError(
                root,
                'holds no *.json.',
                fix='root is one split of ReasonSeg, such as ReasonSeg/val.',
            )
        self._entries: list[tuple[str, int, str, bool]] = []
        for file in files:
            self._entries += self._questions(file)

    def _questions(self, file: str) -> list[tuple[str, int, str, bool]]:
        """(json, number, question, long) of one file; a broken file is one entry."""
        try:
            record = _read_record(Path(self.root) / file)
        except AnnotationError:
            return [(file, 0, '', False)]  # read_sample meets the error again and reports it
        texts = record['text'] if self.question == 'all' else record['text'][:1]
        return [(file, k, text, record['is_sentence']) for k, text in enumerate(texts)]

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and protocol."""
        return {'dataset': self.name, 'question': self.question}

    def __len__(self) -> int:
        """Number of questions."""
        return len(self._entries)

    def sample_id(self, index: int) -> str:
        """``name/long/NAME`` or ``name/short/NAME``, with ``#k`` for further questions."""
        file, number, _, is_long = self._entries[index]
        more = f'#{number}' if number else ''
        return f'{self.name}/{"long" if is_long else "short"}/{Path(file).stem}{more}'

    def read_sample(self, index: int) -> Item:
        """Question ``index``.

        Args:
            index: At least 0, less than the length.

        Returns:
            The sample with its image loaded; skipped, its question counting as missed, where
            the image cannot be read.

        Raises:
            AnnotationError: The json is not of this format.
        """
        file, _, text, _ = self._entries[index]
        path = Path(self.root) / file
        record = _read_record(path)
        phrase = Phrase(text)
        try:
            image_path = self._image_path(path)
            image = open_image(image_path)
        except ImageError as error:
            return SkippedSample(self.sample_id(index), 'image_unreadable', str(error), (phrase,))
        target, ignore = draw_shapes(record['shapes'], (image.height, image.width), path)
        phrase.mask = CocoMask((encode_rle(target),))
        return GroundingSample(
            self.sample_id(index),
            image_path=image_path,
            image=image,
            pieces=[TextPiece(text, 0)],
            phrases=[phrase],
            meta={'ignore': encode_rle(ignore)},
        )

    def _image_path(self, path: Path) -> str:
        for suffix in _IMAGE_SUFFIXES:
            if path.with_suffix(suffix).is_file():
                return resolve_under_root(self.root, path.with_suffix(suffix).name)
        raise ImageError(path.with_suffix('.jpg'), 'no such file.', fix='It belongs to its json.')


def _read_record(path: Path) -> dict[str, Any]:
    record = load_json(path)
    problem = ''
    if not isinstance(record, dict) or not isinstance(record.get('shapes'), list):
        problem = 'expected an object with the list shapes.'
    elif len(record['shapes']) > _MOST_SHAPES:
        problem = f'has {len(record["shapes"])} shapes, more than {_MOST_SHAPES}.'
    elif (
        not isinstance(record.get('text'), list)
        or not record['text']
        or not all(isinstance(text, str) and text.strip() for text in record['text'])
    ):
        problem = 'expected text to be a list of at least one question.'
    elif not isinstance(record.get('is_sentence'), bool):
        problem = 'expected is_sentence to be true or false.'
    if problem:
        raise AnnotationError(path, problem, fix='Is it a json of ReasonSeg?')
    return record


def draw_shapes(shapes: list[Any], shape: Shape, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Draw the shapes of a json, the largest first.

    Args:
        shapes: Each with ``label`` and ``points`` ``[[x, y], ...]`` in pixels.
        shape: ``(H, W)`` of the image.
        path: The json, for errors.

    Returns:
        Target and ignored pixels, ``(H, W)`` bool each; no pixel is both.

    Raises:
        AnnotationError: A shape without label, or with points that are no numbers or far outside.
    """
    drawn = []
    for index, item in enumerate(shapes):
        try:
            label = item['label'].lower()
            points = np.asarray(item['points'], dtype=np.float64).reshape(-1, 2)
        # A whole number of hundreds of digits has no float.
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise AnnotationError(
                path, f'is no label with points: {error}.', key=f'shapes[{index}]'
            ) from error
        if label == 'flag' or not len(points):
            continue
        if not np.isfinite(points).all() or np.abs(points).max() > 4 * max(shape):
            raise AnnotationError(
                path, f'reaches far outside {shape[0]}x{shape[1]}.', key=f'shapes[{index}]'
            )
        mask = np.zeros(shape, np.uint8)
        corners = points.astype(np.int32)
        cv2.polylines(mask, [corners], True, 1, 1)
        cv2.fillPoly(mask, [corners], 1)
        drawn.append((int(mask.sum()), 'ignore' in label, mask.astype(bool)))
    target, ignore = np.zeros(shape, bool), np.zeros(shape, bool)
    # Stable order: of equally large shapes the later one lies below.
    for _, ignored, mask in sorted(reversed(drawn), key=lambda entry: -entry[0]):
        target[mask], ignore[mask] = not ignored, ignored
    return target, ignore
