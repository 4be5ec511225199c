"""Self-consistent bootstrapping (Pink): caption each box, find the caption again, keep what agrees.

Two steps. *Generating* appends one line per image to ``generated/<shard>.jsonl`` as soon as the
image is done, and goes on from there after a kill. *Filtering* reads all shards in the order of
the input and writes ``kept.jsonl`` (what :class:`flmm.datasets.Objects365Dataset` trains on),
``statistics.json`` and a gallery. Batches never cross images and decoding is greedy, so that an
interrupted run ends with the same file as an uninterrupted one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from flmm.datasets.base import build_pipeline, run_pipeline
from flmm.datasets.collate import grounding_collate
from flmm.datasets.instruction import Instruction
from flmm.datasets.object_tasks import ask_for_box, ask_for_description
from flmm.datasets.self_consistent import Record, SelfConsistencyFilter
from flmm.engine.atomic_write import write_atomically
from flmm.evaluation.metrics import TextBoxes
from flmm.evaluation.pink_rec import read_official_box
from flmm.structures import GroundingSample, Phrase
from flmm.utils.errors import FLMMError, ImageError
from flmm.utils.json_lines import read_json_lines
from flmm.utils.safe_io import open_image, resolve_under_root, write_json

from .bootstrap_gallery import Examples, draw_examples
from .bootstrap_settings import check_settings

#: Where a caption leads that leads nowhere, as the release writes it.
_NOWHERE = [0.0, 0.0, 1.0, 1.0]

#: Options that change what is generated.
_GENERATES = ('min_area', 'official', 'whole_image', 'shards')

#: Samples with instructions -> predictions with ``text``.
Asker = Callable[[Sequence[GroundingSample]], Sequence[Any]]


@dataclass
class BootstrapOptions:
    """How to bootstrap.

    Attributes:
        min_area: Objects with a smaller box (square pixels) are not captioned.
        iou_threshold: Least overlap of the box found again with the object's.
        official: Read boxes and filter as the release does, its defects included.
        whole_image: Also ask for a caption of the whole image with boxes.
        shard: Index of this process.
        shards: How many processes share the images.
        gallery: How many kept, and as many rejected, examples are drawn.
    """

    min_area: float = 2000.0
    iou_threshold: float = 0.5
    official: bool = False
    whole_image: bool = True
    shard: int = 0
    shards: int = 1
    gallery: int = 20


class SystemAsker:
    """Asks a system built from a config: region captions and REC is all it must be able to.

    Args:
        model: System whose mode ``'predict'`` gives predictions with ``text``.
        pipeline: From a sample with instructions to the LMM's inputs (``LoadImage``,
            ``WriteTurns(choose='first')``, ``PrepareDialogue``).
        batch_size: Most questions at once.
    """

    def __init__(self, model: Any, pipeline: Iterable[Any], batch_size: int = 8) -> None:
        self.model, self.batch_size = model, batch_size
        self.pipeline = build_pipeline(pipeline)

    def __call__(self, samples: Sequence[GroundingSample]) -> list[Any]:
        """Predictions in the order of the samples.

        Raises:
            ImageError: The image cannot be read.
        """
        predictions: list[Any] = []
        for start in range(0, len(samples), self.batch_size):
            items = [
                run_pipeline(s, self.pipeline) for s in samples[start : start + self.batch_size]
            ]
            batch = grounding_collate(items)
            if batch['skipped']:
                raise ImageError(batch['skipped'][0].sample_id, batch['skipped'][0].detail)
            batch = self.model.data_preprocessor(batch)
            predictions += self.model(**batch, mode='predict')
        return predictions


def generate(
    records: Sequence[Record],
    image_root: str | Path,
    out_dir: str | Path,
    ask: Asker,
    options: BootstrapOptions,
    reader: Callable[[Any], list] | None = None,
    progress: Callable[[int, int], None] | None = None,
    sources: Mapping[str, str] | None = None,
) -> Path:
    """Caption and ground the objects of every image that is not done yet.

    Args:
        records: One per image: ``id``, ``image_id``, ``anno`` (see
            :func:`flmm.datasets.derived_files.boxes_by_image`).
        image_root: Folder of the images.
        out_dir: For all that is written.
        ask: Asks the system.
        options: How.
        reader: Prediction -> boxes in pixels, None for none; by default from its text.
        progress: Called with images done and images in all of this shard.
        sources: Hash of each weight file and config that answers, by name; what others began is
            not continued. None: not compared.

    Returns:
        The shard's file.

    Raises:
        FLMMError: The file there is of other records, options, weights or config.
    """
    path = Path(out_dir) / 'generated' / f'{options.shard:05d}-of-{options.shards:05d}.jsonl'
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in asdict(options).items() if key in _GENERATES}
    check_settings(path.parent / 'settings.json', settings, sources)
    done, unreadable = _finished(path)
    own = list(records[options.shard :: options.shards])
    unknown = (done | unreadable) - {record['id'] for record in own}
    if unknown:
        raise FLMMError(
            f'{path} holds images that this shard does not have (such as {min(unknown)!r}). '
            'Bootstrap other data into another folder.'
        )
    with open(path, 'a', encoding='utf-8') as file:
        for number, record in enumerate(own):
            if record['id'] not in done:
                line = _describe_image(record, image_root, ask, options, reader)
                # What the file says already is not said again.
                if 'error' not in line or record['id'] not in unreadable:
                    file.write(json.dumps(line, ensure_ascii=False) + '\n')
                    file.flush()
                    os.fsync(file.fileno())
            if progress is not None:
                progress(number + 1, len(own))
    return path


def _finished(path: Path) -> tuple[set[Any], set[Any]]:
    """Ids of finished images, and of others that could not be read.

    The latter are tried again: their folder may have been the wrong one, or away. A line that a
    kill cut off is removed from the file.
    """
    if not path.exists():
        return set(), set()
    with open(path, 'rb+') as file:
        content = file.read()
        whole = content.rfind(b'\n') + 1
        if whole != len(content):
            file.truncate(whole)
    done: set[Any] = set()
    unreadable: set[Any] = set()
    for record in read_json_lines(path):
        (unreadable if 'error' in record else done).add(record['id'])
    return done, unreadable - done


def _describe_image(
    record: Record,
    image_root: str | Path,
    ask: Asker,
    options: BootstrapOptions,
    reader: Callable[[Any], list] | None,
) -> Record:
    """All captions of an image's objects, and where they lead."""
    file = resolve_under_root(image_root, record['image_id'])
    line = {**record, 'pred': [], 'grounding_caption': ''}
    try:
        image = open_image(file)
        line['orig_width'], line['orig_height'] = image.size
        line['pred'], line['grounding_caption'] = _talk_about(record, image, ask, options, reader)
    except ImageError as error:
        # It cannot be opened, or opens and is refused by what the system makes of it.
        sizes = {key: line.get(key, 0) for key in ('orig_width', 'orig_height')}
        return {**line, **sizes, 'error': str(error)}
    return line


def _talk_about(
    record: Record,
    image: Image.Image,
    ask: Asker,
    options: BootstrapOptions,
    reader: Callable[[Any], list] | None,
) -> tuple[list[dict[str, Any]], str]:
    """Captions of the objects with the boxes they lead to, and a caption of the whole image."""
    wanted = [
        index
        for index, item in enumerate(record['anno'])
        if item['ignore'] != 1 and _box_area(item['bbox']) >= options.min_area
    ]

    def sample(name: str, instruction: Instruction) -> GroundingSample:
        made = GroundingSample(
            f'{record["id"]}/{name}', image=image, meta={'instructions': [asdict(instruction)]}
        )
        made.meta |= instruction.truth
        if instruction.phrase is not None:  # readers of boxes give one for each phrase
            text, box = instruction.phrase
            made.phrases = [Phrase(text, meta={'box_xyxy': list(box)})]
        return made

    questions = [
        sample(
            f'caption/{i}',
            ask_for_description('', record['anno'][i]['bbox'], 'region_description'),
        )
        for i in wanted
    ]
    captions = [prediction.text for prediction in ask(questions)]
    back = [
        sample(f'box/{i}', ask_for_box(caption, record['anno'][i]['bbox']))
        for i, caption in zip(wanted, captions, strict=True)
    ]
    found = []
    for i, caption, prediction in zip(wanted, captions, ask(back), strict=True):
        box = _box_of(prediction, image, options, reader)
        found.append(
            {
                'object_id': i,
                'caption': caption,
                'bbox': _NOWHERE if box is None else list(box),
                'format_error': int(box is None),
            }
        )
    if not options.whole_image:
        return found, ''
    return found, ask([sample('image', Instruction('grounded_caption'))])[0].text


def _box_area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box_of(
    prediction: Any,
    image: Image.Image,
    options: BootstrapOptions,
    reader: Callable[[Any], list] | None,
) -> Sequence[float] | None:
    if options.official:
        return read_official_box(prediction.text, (image.height, image.width))
    if reader is None:
        codec = TextBoxes('normalised').codec
        found = codec.read_boxes(prediction.text, (image.height, image.width))
        return found[0] if found else None
    return next(iter(reader(prediction)), None)


def collect(
    records: Sequence[Record],
    image_root: str | Path,
    out_dir: str | Path,
    options: BootstrapOptions,
) -> dict[str, float] | None:
    """Filter what all shards generated.

    Args:
        records: The same as for :func:`generate`; their order is that of the result.
        image_root: Folder of the images, for the gallery.
        out_dir: The same.
        options: How.

    Returns:
        Statistics; None while images are still missing (of other shards).
    """
    out_dir = Path(out_dir)
    generated = {
        record['id']: record
        for path in sorted((out_dir / 'generated').glob('*-of-*.jsonl'))
        for record in read_json_lines(path, allow_cut_end=True)
    }
    if any(record['id'] not in generated for record in records):
        return None
    keep = SelfConsistencyFilter(options.iou_threshold, options.official)
    lines, examples = [], Examples(keep, options.gallery)
    unreadable = 0
    for record in records:
        line = generated[record['id']]
        unreadable += 'error' in line
        examples.look_at(line)
        kept = keep(line)
        if kept is not None:
            lines.append(json.dumps(kept, ensure_ascii=False) + '\n')
    content = ''.join(lines).encode()
    write_atomically(out_dir / 'kept.jsonl', lambda file: file.write(content))
    statistics = {**keep.counts.summary(), 'unreadable_images': unreadable}
    plain = {k: None if v != v else v for k, v in statistics.items()}
    write_json(out_dir / 'statistics.json', plain)
    if options.gallery:
        draw_examples(out_dir / 'gallery', image_root, examples, statistics)
    return statistics
