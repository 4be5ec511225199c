"""Questions about single objects, made of COCO panoptic labels (CoLLaVO, crayon prompt tuning)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flmm.models.prompt_encoders.crayon_text import plain_name
from flmm.registry import DATASETS
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .coco_detection import group_by_image
from .instruction import Chooser, Instruction, InstructionDataset, RichText, box_part, sides
from .object_tasks import NamedBox
from .transforms.base import Transform

Ask = Callable[['PanopticQuestionsDataset', list[NamedBox], Chooser], Instruction | None]


@DATASETS.register_module()
class PanopticQuestionsDataset(InstructionDataset):
    """Read ``panoptic_*.json`` and ask what is where; only names and boxes are used.

    Images without anything to ask about are left out.

    What CoLLaVO (arXiv 2402.11248) is first trained on: the release has no code of it, so which
    questions there are, in which shares, is our reading of the paper. ``WriteTurns`` puts them into
    words.

    Tasks: ``'name'`` (box to class), ``'place'`` (class to boxes), ``'presence'`` (yes or no, half
    of each), ``'count'``, ``'segments'`` (all of them as the text of a crayon prompt names them).
    Segments of crowds are left out.

    Args:
        ann_file: ``panoptic_train2017.json``.
        image_root: Folder of the images.
        tasks: Names of tasks; each question draws one.
        turns: Questions to an image, in one conversation.
        unique: Ask ``'place'`` only for classes with one segment, whose box is then in
            ``phrases`` for ``RECMetric``.
        things_only: Leave stuff out of all questions.
        min_side: Least side of a segment's box, as a share of the image's.
        repeat: How often an image comes in an epoch, each time with other draws.
        pipeline: Transforms, or their configs.
        seed: Of the random choices.
        name: First part of every ``sample_id``.

    Raises:
        AnnotationError: It is no panoptic annotation, or holds nothing to ask about.
        ValueError: No such task.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        tasks: Sequence[str] = ('name', 'place', 'presence', 'count', 'segments'),
        turns: int = 4,
        unique: bool = False,
        things_only: bool = False,
        min_side: float = 0.02,
        repeat: int = 1,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'panoptic_questions',
    ) -> None:
        unknown = sorted(set(tasks) - set(_TASKS))
        if unknown or not tasks:
            raise ValueError(f'tasks must be some of {sorted(_TASKS)}, got {list(tasks)}.')
        self.tasks, self.turns, self.unique = tuple(tasks), turns, unique
        content = load_json(ann_file)
        kept, self.classes = _categories(ann_file, content, things_only)
        records = [
            record
            for record in _records(ann_file, content, kept, min_side)
            if self._can_ask(record['segments'])
        ]
        super().__init__(ann_file, records * repeat, image_root, name, pipeline, seed)

    def _can_ask(self, segments: list[tuple[str, list[float]]]) -> bool:
        if self.tasks == ('place',) and self.unique:
            return 1 in Counter(name for name, _ in segments).values()
        return bool(segments)

    def image_name(self, record: Any) -> str:
        """Its ``file_name``."""
        return record['file_name']

    def draw(self, record: Any, chooser: Chooser) -> list[Instruction] | None:
        """A conversation of ``turns`` different questions, where there are as many."""
        objects = [NamedBox((name,), box) for name, box in record['segments']]
        if not objects:
            return None
        found: list[Instruction] = []
        for _ in range(3 * self.turns):
            asked = _TASKS[chooser.choose(self.tasks)](self, objects, chooser)
            if asked is not None and asked not in found:
                found.append(asked)
            if len(found) == self.turns:
                break
        return found or None


def _name(_: PanopticQuestionsDataset, objects: list[NamedBox], chooser: Chooser) -> Instruction:
    one = chooser.choose(objects)
    name = one.names[0]
    return Instruction(
        'object_name', {'objs': [box_part(one.box)]}, [name], truth={'answers': [name]}
    )


def _place(
    dataset: PanopticQuestionsDataset, objects: list[NamedBox], chooser: Chooser
) -> Instruction | None:
    counts = Counter(one.names[0] for one in objects)
    names = [name for name, count in counts.items() if count == 1 or not dataset.unique]
    if not names:
        return None
    name = chooser.choose(names)
    boxes = [one.box for one in objects if one.names[0] == name]
    answer: RichText = []
    for box in boxes:
        answer += [', '] * bool(answer) + [box_part(box)]
    phrase = (name, boxes[0]) if len(boxes) == 1 else None
    truth = {'boxes_xyxy': boxes}
    return Instruction('object_place', {'category': [name]}, answer, phrase=phrase, truth=truth)


def _presence(
    dataset: PanopticQuestionsDataset, objects: list[NamedBox], chooser: Chooser
) -> Instruction:
    present = list(dict.fromkeys(one.names[0] for one in objects))
    absent = [name for name in dataset.classes if name not in present]
    yes = chooser.chance(0.5) or not absent
    name, answer = chooser.choose(present if yes else absent), 'yes' if yes else 'no'
    return Instruction('presence', {'category': [name]}, [answer], truth={'answers': [answer]})


def _count(_: PanopticQuestionsDataset, objects: list[NamedBox], chooser: Chooser) -> Instruction:
    counts = Counter(one.names[0] for one in objects)
    name = chooser.choose(list(counts))
    answer = str(counts[name])
    return Instruction('object_count', {'category': [name]}, [answer], truth={'answers': [answer]})


def _segments(_: PanopticQuestionsDataset, objects: list[NamedBox], __: Chooser) -> Instruction:
    counts: Counter[str] = Counter()
    answer: RichText = []
    for one in objects:
        name = one.names[0]
        counts[name] += 1
        answer += [', '] * bool(answer) + [f'(#{counts[name]} {name}) ', box_part(one.box)]
    return Instruction('segments', {}, answer, truth={'boxes_xyxy': [one.box for one in objects]})


_TASKS: dict[str, Ask] = {
    'name': _name,
    'place': _place,
    'presence': _presence,
    'count': _count,
    'segments': _segments,
}


def _categories(
    path: str, content: Any, things_only: bool
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Names of the classes that are asked about, by id, and each name once."""
    try:
        kept = {
            one['id']: plain_name(str(one['name']))
            for one in content['categories']
            if one['isthing'] or not things_only
        }
        known = {one['id'] for one in content['categories']}
        for index, annotation in enumerate(content['annotations']):
            for segment in annotation['segments_info']:
                if segment['category_id'] not in known:
                    raise AnnotationError(
                        path,
                        f'names the category {segment["category_id"]!r}, which it does not list.',
                        key=f'annotations[{index}]',
                    )
    except (KeyError, TypeError) as error:
        raise AnnotationError(
            path,
            f'is not a COCO panoptic annotation: {type(error).__name__} {error}.',
            fix='It needs images, annotations with segments_info, and categories with isthing.',
        ) from error
    return kept, tuple(dict.fromkeys(kept.values()))


def _records(
    path: str, content: Mapping[str, Any], kept: Mapping[int, str], min_side: float
) -> list[dict[str, Any]]:
    records = []
    for image in group_by_image(path, content):
        segments = []
        for annotation in image['annotations']:
            for segment in sorted(annotation['segments_info'], key=lambda one: one['id']):
                if segment.get('iscrowd') or segment['category_id'] not in kept:
                    continue
                x, y, width, height = (float(side) for side in segment['bbox'])
                if width < min_side * image['width'] or height < min_side * image['height']:
                    continue
                box = sides(dict(x=x, y=y, w=width, h=height))
                segments.append([kept[segment['category_id']], box])
        records.append({'file_name': image['file_name'], 'segments': segments})
    return records
