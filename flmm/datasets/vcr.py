"""Visual Commonsense Reasoning: questions about people and things, with answers and reasons."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flmm.registry import DATASETS
from flmm.structures import Region, Turn
from flmm.utils.errors import AnnotationError
from flmm.utils.json_lines import read_json_lines
from flmm.utils.safe_io import load_json, resolve_under_root

from .instruction import Chooser
from .region_conversations import (
    RegionDataset,
    RegionTalk,
    fill,
    plain,
    region_name,
    with_overview,
)
from .transforms.base import Transform

#: A text whose whole numbers are objects, counted from 0: ``['Why is ', 0, ' smiling ?']``.
Parts = list[str | int]


@dataclass
class _Scene:
    """Objects of an image and how a text may speak of them.

    Attributes:
        names: Class of each object.
        number_of: Object -> number of its region.
    """

    names: list[str]
    number_of: dict[int, int]


@DATASETS.register_module()
class VCRDataset(RegionDataset):
    """Read ``train.jsonl`` or ``val.jsonl`` with the boxes of their ``metadata_fn``.

    An object is written as its class and region, ``person at region2``, counted from 1 in the
    order of ``objects`` (or of the question, see ``regions``).

    Args:
        ann_file: The file of lines.
        image_root: ``vcr1images``, below which ``img_fn`` and ``metadata_fn`` lie.
        task: ``'train'``: the question, its answer, and why. ``'choose'``: the four answers, and
            then, given the right one, the four reasons, to choose from (``meta['choices']``).
        regions: ``'all'`` objects are introduced first; or those ``'mentioned'`` in the question,
            in its place (``'single'``, ``'multi'``: only questions that mention one, several). A
            reason that speaks of others is left out then.
        names: ``'right'``; or ``'gpt4roi_release'``, where object n is called what object n + 1
            is.
        labels: ``'true'``; or ``'shuffled'``, a control for training: each question has the answer
            and the reason of another one, with its objects in the place of the other's. Whatever
            is still learned of the true labels was no signal of the regions. (Drawing one of a
            question's own four answers would leave such a signal: the true one is always among
            them, others only now and then.)
        pipeline: Transforms, or their configs.
        templates: See :func:`flmm.datasets.region_conversations.load_templates`.
        seed: Of the random choices.
        name: First part of every ``sample_id``.

    Raises:
        ValueError: An option is none of those named.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str,
        task: Literal['train', 'choose'] = 'train',
        regions: Literal['all', 'mentioned', 'single', 'multi'] = 'all',
        names: Literal['right', 'gpt4roi_release'] = 'right',
        labels: Literal['true', 'shuffled'] = 'true',
        pipeline: Iterable[dict | Transform] = (),
        templates: str | Mapping[str, Any] | None = None,
        seed: int = 0,
        name: str = 'vcr',
    ) -> None:
        if task not in ('train', 'choose'):
            raise ValueError(f"task must be 'train' or 'choose', got {task!r}.")
        if regions not in ('all', 'mentioned', 'single', 'multi'):
            raise ValueError(f"regions must be 'all', 'mentioned', ..., got {regions!r}.")
        if names not in ('right', 'gpt4roi_release'):
            raise ValueError(f"names must be 'right' or 'gpt4roi_release', got {names!r}.")
        if labels not in ('true', 'shuffled'):
            raise ValueError(f"labels must be 'true' or 'shuffled', got {labels!r}.")
        if labels == 'shuffled' and task == 'choose':
            raise ValueError("labels='shuffled' is for training; score it by the true ones.")
        self.task, self.regions, self.shift = task, regions, int(names == 'gpt4roi_release')
        self.labels = labels
        super().__init__(
            ann_file,
            read_json_lines(ann_file),
            image_root,
            name,
            'vcr',
            pipeline,
            templates,
            seed,
        )

    @property
    def metainfo(self) -> dict[str, Any]:
        """Name and protocol."""
        settings = {name: getattr(self, name) for name in ('task', 'regions', 'labels')}
        return {'dataset': self.name, **settings}

    def image_name(self, record: Any) -> str:
        """Its ``img_fn``."""
        return record['img_fn']

    def draw(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        """The question with its answer and reason, or with the candidates for them."""
        if self.labels == 'shuffled':
            record = self._relabelled(record)
        boxes, names = self._objects(record)
        question = _parts(record, 'question')
        mentioned = _mentioned(record)
        _check_objects(question, len(names), 'question')
        if self.regions == 'all':
            order = list(range(len(names)))
            scene = _Scene(names, {item: item + 1 for item in order})
            introduced = fill(
                chooser.choose(self.templates['region_list']),
                regions=self.region_list(chooser, len(order)),
            )
            request = introduced + self._write(question, scene)
        else:
            order = mentioned
            wanted = {'single': len(order) == 1, 'multi': len(order) > 1}
            if not order or not wanted.get(self.regions, True):
                return None
            scene = _Scene(names, {item: number for number, item in enumerate(order, start=1)})
            request = self._introduce(question, scene)
        overview = self.overview(chooser)
        regions = [Region(tuple(boxes[i]), meta={'category': names[i], 'object': i}) for i in order]
        write = self._choices if self.task == 'choose' else self._training
        talk = write(record, request, scene, chooser)
        talk.turns, talk.regions = with_overview(overview, talk.turns), regions
        for group in talk.meta.get('choices', {}).values():
            group['turns'][0][0] = overview + group['turns'][0][0]
        return talk

    def _relabelled(self, record: Any) -> Any:
        """The record with the answer and reason of another one, the same in every epoch."""
        rng = random.Random(f'{self.seed}/{record["annot_id"]}/labels')
        donor = record
        while len(self.records) > 1 and donor['annot_id'] == record['annot_id']:
            donor = self.records[rng.randrange(len(self.records))]
        own = _mentioned(record) or list(range(len(record['objects'])))
        # In the order in which the questions mention them; what only the answer speaks of behind.
        theirs = dict.fromkeys([*_mentioned(donor), *range(len(donor['objects']))])
        place = {item: own[number % len(own)] for number, item in enumerate(theirs)}
        changed = dict(record)
        for key in ('answer', 'rationale'):
            parts = _parts(donor, key)
            _check_objects(parts, len(donor['objects']), key)
            changed.pop(f'{key}_orig', None)
            changed[key] = [[place[part]] if isinstance(part, int) else part for part in parts]
        return changed

    def _objects(self, record: Any) -> tuple[list[list[float]], list[str]]:
        path = resolve_under_root(self.image_root, record['metadata_fn'])
        boxes, names = load_json(path)['boxes'], record['objects']
        if len(boxes) != len(names) or not all(len(box) >= 4 for box in boxes):
            raise AnnotationError(
                path, f'has {len(boxes)} boxes, its question {len(names)} objects.', key='boxes'
            )
        return [[float(v) for v in box[:4]] for box in boxes], names

    def _training(self, record: Any, request: str, scene: _Scene, chooser: Chooser) -> RegionTalk:
        answer, reason = (_parts(record, key) for key in ('answer', 'rationale'))
        why = chooser.choose(self.templates['why'])
        turns = [Turn(request, self._write(answer, scene))]
        if self.regions == 'all' or _objects_in(reason) <= set(scene.number_of):
            turns.append(Turn(why, self._write(reason, scene)))
        return RegionTalk(turns, [])

    def _choices(self, record: Any, request: str, scene: _Scene, chooser: Chooser) -> RegionTalk:
        why = chooser.choose(self.templates['why'])
        groups = {}
        answers = [self._write(_tokens(item), scene) for item in record['answer_choices']]
        right = answers[record['answer_label']]
        groups['q2a'] = {
            'turns': [[request, None]],
            'candidates': answers,
            'label': record['answer_label'],
        }
        if 'rationale_choices' in record:
            groups['qa2r'] = {
                'turns': [[request, right], [why, None]],
                'candidates': [
                    self._write(_tokens(item), scene) for item in record['rationale_choices']
                ],
                'label': record['rationale_label'],
            }
        return RegionTalk([Turn(request, None)], [], meta={'choices': groups})

    def _write(self, parts: Parts, scene: _Scene) -> str:
        """A text in which objects are their class and region."""
        _check_objects(parts, len(scene.names) - self.shift, 'text')
        unknown = _objects_in(parts) - set(scene.number_of)
        if unknown:
            raise ValueError(
                f'the text speaks of object {min(unknown) + 1}, which the question does not '
                "introduce; regions='all' introduces every object"
            )
        return plain(''.join(
            f'{scene.names[part + self.shift]} at region{scene.number_of[part]}'
            if isinstance(part, int)
            else part
            for part in parts
        ))  # fmt: skip

    def _introduce(self, parts: Parts, scene: _Scene) -> str:
        """A question in which each object stands as a region when it first comes."""
        written, seen = '', set()
        for part in parts:
            if not isinstance(part, int):
                written += plain(part) if part.strip() else part
            elif part in seen:
                written += f'{scene.names[part]} at region{scene.number_of[part]}'
            else:
                seen.add(part)
                written += region_name(scene.number_of[part])
        return written


def _mentioned(record: Any) -> list[int]:
    """Objects of the question, each once, in its order."""
    return list(dict.fromkeys(p for p in _parts(record, 'question') if isinstance(p, int)))


def _objects_in(parts: Parts) -> set[int]:
    return {part for part in parts if isinstance(part, int)}


def _check_objects(parts: Parts, count: int, where: str) -> None:
    for item in sorted(_objects_in(parts)):
        if not 0 <= item < count:
            raise ValueError(f'the {where} speaks of object {item + 1} of {count}')


def _parts(record: Any, key: str) -> Parts:
    """A text of a record: ``<key>_orig`` (objects as numbers from 1), or its list of tokens."""
    original = record.get(f'{key}_orig')
    if original is None:
        return _tokens(record[key])
    if not isinstance(original, str) or not original.strip():
        raise ValueError(f'{key}_orig is empty')
    pieces = re.split(r'\b(\d+)\b', original)
    return [int(piece) - 1 if i % 2 else piece for i, piece in enumerate(pieces) if piece]


def _tokens(tokens: Sequence[str | list[int]]) -> Parts:
    """``['Why', 'is', [0, 1], 'here', '?']`` with spaces and "and" between."""
    if not isinstance(tokens, list) or not tokens:
        raise ValueError('a text of VCR is a list of words and of lists of objects')
    parts: Parts = []
    for token in tokens:
        if parts:
            parts.append(' ')
        if isinstance(token, str):
            parts.append(token)
            continue
        for index, item in enumerate(token):
            if index:
                parts.append(' and ' if index == len(token) - 1 else ' , ')
            parts.append(int(item))
    return parts
