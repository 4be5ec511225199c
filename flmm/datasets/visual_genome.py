"""Visual Genome: regions, objects and relationships as six kinds of questions (Pink)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flmm.registry import DATASETS
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json

from .instruction import (
    Chooser,
    Instruction,
    InstructionDataset,
    area,
    box_part,
    location,
    mark_part,
    sides,
)
from .object_tasks import (
    NamedBox,
    ask_coarse_location,
    ask_counting,
    ask_detection,
    ask_for_box,
    ask_for_description,
    join_rich,
)
from .transforms.base import Transform

TASKS = ('relation', 'coarse_location', 'region_caption', 'grounding', 'detection', 'counting')
#: Also possible: relations between two shown boxes alone.
MORE_TASKS = ('predicate',)
_RELATIONS = ('relation', 'related_boxes', 'related_names', 'related_boxes_names')
#: Predicates so frequent that only a fifth of the draws keeps them.
_FREQUENT = {'on', 'has', 'wearing', 'of', 'in'}
_REDRAWS = 100


@DATASETS.register_module()
class VisualGenomeDataset(InstructionDataset):
    """Read ``region_descriptions.json``, ``objects.json`` and ``relationships.json``.

    Each sample is one question about one image (or a few); its kind is drawn uniformly. Images
    that lack regions, objects or relationships are skipped, as in the release.

    Args:
        ann_file: ``region_descriptions.json``.
        objects_file: ``objects.json``, the same images in the same order.
        relationships_file: ``relationships.json``, likewise.
        image_root: Folder of the images ``<id>.jpg``.
        tasks: Kinds of questions, some of ``TASKS`` and ``MORE_TASKS``; one that is named twice
            is drawn twice as often.
        turns: Questions drawn for one sample, asked in one conversation; the release asks one.
        pipeline: Transforms, or their configs.
        seed: Of the random choices.
        name: First part of every ``sample_id``.

    Raises:
        AnnotationError: A file is none of Visual Genome's, or they do not list the same images.
        ValueError: No such task.
    """

    def __init__(
        self,
        ann_file: str,
        objects_file: str,
        relationships_file: str,
        image_root: str,
        tasks: Sequence[str] = TASKS,
        turns: int = 1,
        pipeline: Iterable[dict | Transform] = (),
        seed: int = 0,
        name: str = 'visual_genome',
    ) -> None:
        if not tasks or set(tasks) - {*TASKS, *MORE_TASKS}:
            raise ValueError(f'tasks must be some of {TASKS + MORE_TASKS}, got {list(tasks)}.')
        self.tasks, self.turns = tuple(tasks), turns
        files = {
            'regions': ann_file,
            'objects': objects_file,
            'relationships': relationships_file,
        }
        parts = {key: _read_images(path) for key, path in files.items()}
        lengths = {key: len(part) for key, part in parts.items()}
        if len(set(lengths.values())) != 1:
            raise AnnotationError(
                ann_file,
                f'the three files list different numbers of images: {lengths}.',
                fix='Are they of one release of Visual Genome?',
            )
        try:
            for index, entries in enumerate(zip(*parts.values(), strict=True)):
                _check_one_image(ann_file, index, dict(zip(files.values(), entries, strict=True)))
            records = (
                {key: entry[key] for key, entry in zip(parts, entries, strict=True)}
                for entries in zip(*parts.values(), strict=True)
            )
            super().__init__(ann_file, records, image_root, name, pipeline, seed)
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                ann_file, f'not in the format of Visual Genome: {type(error).__name__} {error}.'
            ) from error

    def image_name(self, record: Any) -> str:
        """``<id>.jpg``."""
        return f'{record["regions"][0]["image_id"]}.jpg'

    def draw(self, record: Any, chooser: Chooser) -> Instruction | list[Instruction] | None:
        """One question about an image, or several different ones."""
        if not all(record.values()):
            return None
        drawn: list[Instruction] = []
        for _ in range(self.turns):
            instruction = self._ask(record, chooser)
            if instruction not in drawn:
                drawn.append(instruction)
        return drawn if self.turns > 1 else drawn[0]

    def _ask(self, record: Any, chooser: Chooser) -> Instruction:
        task = chooser.choose(self.tasks)
        if task in ('relation', 'predicate'):
            kinds = _RELATIONS if task == 'relation' else _RELATIONS[:1]
            return _ask_relation(record['relationships'], chooser, kinds)
        if task in ('grounding', 'region_caption'):
            region = chooser.choose(record['regions'])
            box = sides(region, 'width', 'height')
            if task == 'grounding':
                return ask_for_box(region['phrase'], box)
            return ask_for_description(region['phrase'], box, 'region_caption')
        objects = [NamedBox(tuple(o['names']), sides(o)) for o in record['objects']]
        if task == 'detection':
            return ask_detection(objects, chooser)
        if task == 'counting':
            return ask_counting(objects, chooser)
        described = [(r['phrase'], sides(r, 'width', 'height')) for r in record['regions']]
        return ask_coarse_location(objects, described, chooser)


def _ask_relation(
    relationships: Sequence[dict[str, Any]],
    chooser: Chooser,
    kinds: Sequence[str] = _RELATIONS,
) -> Instruction:
    kind = chooser.choose(kinds)
    for _ in range(_REDRAWS):
        chosen = chooser.choose(relationships)
        if chosen['predicate'] not in _FREQUENT or chooser.chance(0.2):
            break
    predicate, subject = chosen['predicate'], chosen['subject']
    box = sides(subject)
    if kind == 'relation':
        fields = {
            'object1': ['object1: ', location(box)],
            'object2': ['object2: ', location(sides(chosen['object']))],
        }
        answer = f'Object1 is {predicate} object2'
        return Instruction(kind, fields, [answer], truth={'answers': [answer]})
    others = [
        relationship['object']
        for relationship in relationships
        if relationship['subject']['object_id'] == subject['object_id']
        and relationship['predicate'] == predicate
    ]
    others.sort(key=lambda item: area(sides(item)))
    parts = {
        'related_boxes': lambda item: [box_part(sides(item))],
        'related_names': lambda item: [_name(item)],
        'related_boxes_names': lambda item: [box_part(sides(item)), ' ', _name(item)],
    }[kind]
    answer = join_rich([parts(item) for item in others])
    fields = {'object': [location(box)], 'relation': [mark_part('rel', predicate)]}
    truth = {'answers': [''.join(answer)]} if kind == 'related_names' else {}
    return Instruction(kind, fields, answer, truth=truth)


def _name(item: dict[str, Any]) -> str:
    """What one end of a relationship is called: ``name`` or ``names``, the file has both."""
    return item['names'][0] if 'names' in item else item['name']


def _read_images(path: str) -> list[dict[str, Any]]:
    """What a file holds of each image."""
    content = load_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise AnnotationError(
            path,
            'expected a list with an object for each image.',
            fix='Is it a file of Visual Genome, and the three in their order?',
        )
    return content


def _check_one_image(path: str, index: int, entries: dict[str, Any]) -> None:
    """Make sure that the entries at one place of the three files are of one image."""
    # Descriptions say "id", the other files "image_id".
    ids = {file: entry.get('image_id', entry.get('id')) for file, entry in entries.items()}
    if len({number for number in ids.values() if number is not None}) > 1:
        raise AnnotationError(
            path,
            f'the three files do not list the same images in the same order: {ids}.',
            key=f'[{index}]',
            fix='Are they of one release of Visual Genome, and none of them sorted or cut?',
        )
