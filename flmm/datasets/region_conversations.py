"""What all datasets of conversations about regions share: templates of questions, and samples."""

from __future__ import annotations

import math
import random
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flmm.structures import REGION_PLACEHOLDER, GroundingSample, Region, SkippedSample, Turn
from flmm.utils.errors import AnnotationError
from flmm.utils.safe_io import load_json, resolve_under_root

from .instruction import Chooser, InstructionDataset
from .transforms.base import Item, Transform

#: The project's own wording; copy it, change it, and name the copy with ``templates=...``.
DEFAULT_TEMPLATES = Path(__file__).parent / 'templates' / 'regions.json'
_IMAGE = '<image>'

Templates = dict[str, dict[str, list[str]]]


def load_templates(templates: str | Mapping[str, Any] | None = None) -> Templates:
    """Read templates of questions; what they lack is taken from ``DEFAULT_TEMPLATES``.

    Args:
        templates: A json file, its content, or None.

    Returns:
        ``{dataset: {kind: [template, ...]}}``.

    Raises:
        AnnotationError: A kind is no list of texts, or none that there is.
    """
    merged: Templates = load_json(DEFAULT_TEMPLATES)
    own = {} if templates is None else templates
    where = templates if isinstance(templates, str) else 'templates'
    if isinstance(own, str):
        own = load_json(own)
    for name, kinds in own.items():
        for kind, texts in kinds.items():
            if kind not in merged.get(name, ()):
                raise AnnotationError(
                    where,
                    'is no kind of template.',
                    key=f'{name}.{kind}',
                    fix=f'There are {", ".join(f"{n}.{k}" for n in merged for k in merged[n])}.',
                )
            if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts or [0]):
                raise AnnotationError(where, 'expected a list of texts.', key=f'{name}.{kind}')
            merged[name][kind] = texts
    return merged


def fill(template: str, **values: str) -> str:
    """Put values into a template's ``{names}``, all at once: values are not read again.

    Raises:
        ValueError: The template has a name for which there is no value.
    """

    def value(match: re.Match) -> str:
        if match[1] not in values:
            raise ValueError(f'{{{match[1]}}} in {template!r:.80}; there are {sorted(values)}')
        return values[match[1]]

    return re.sub(r'\{(\w+)\}', value, template)


def plain(text: str) -> str:
    """A text of an annotation, in which no placeholder is spelled.

    Raises:
        ValueError: It is no text, or empty.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'a text is expected, got {text!r:.60}')
    for mark in (REGION_PLACEHOLDER, _IMAGE):
        text = text.replace(mark, f'{mark[0]} {mark[1:]}')
    return text


def region_name(number: int) -> str:
    """How a region is introduced: its name, and its token."""
    return f'region{number} {REGION_PLACEHOLDER}'


@dataclass
class RegionTalk:
    """A conversation that was drawn from a record.

    Attributes:
        turns: In order.
        regions: In the order in which their placeholders come.
        dropped: ``(what, why)`` of regions that could not be used.
        meta: What metrics need, plain.
    """

    turns: list[Turn]
    regions: list[Region]
    dropped: list[tuple[str, str]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)


class RegionDataset(InstructionDataset):
    """Records that each give a conversation about regions of one image; abstract.

    Args:
        ann_file: Named in errors.
        records: One per sample.
        image_root: Folder of the images.
        name: First part of every ``sample_id``.
        kind: Key of the templates.
        pipeline: Transforms, or their configs.
        templates: See :func:`load_templates`.
        seed: Of the random choices; they depend on it, the epoch and the sample alone.
    """

    def __init__(
        self,
        ann_file: str,
        records: Iterable[Any],
        image_root: str,
        name: str,
        kind: str,
        pipeline: Iterable[dict | Transform] = (),
        templates: str | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(ann_file, records, image_root, name, pipeline, seed)
        known = load_templates(templates)
        if kind not in known:
            raise ValueError(f'There are no templates {kind!r}; there are {sorted(known)}.')
        self.templates = known[kind]

    @abstractmethod
    def draw(self, record: Any, chooser: Chooser) -> RegionTalk | None:
        """A conversation about a record; None if there is nothing to speak about."""

    def record(self, index: int) -> Any:
        """What sample ``index`` is drawn from."""
        return self.records[index]

    def read_repetition(self, index: int, repetition: int) -> Item:
        """A conversation about record ``index``; see :meth:`InstructionDataset.read_repetition`."""
        record, sample_id = self.record(index), self.sample_id(index)
        key = f'{self.seed}/{int(self._epoch)}/{sample_id}'
        if repetition:
            sample_id += f'#{repetition}'
            key += f'#{repetition}'
        talk = self._guarded(index, lambda: self.draw(record, Chooser(random.Random(key))))
        if talk is None:
            return SkippedSample(sample_id, 'no_phrase', 'the record has no region to speak of')
        image = self._guarded(index, lambda: self.image_name(record))
        return talk_sample(sample_id, resolve_under_root(self.image_root, image), talk)

    def overview(self, chooser: Chooser, **values: str) -> str:
        """What precedes the first question."""
        return fill(chooser.choose(self.templates['overview']), **values)

    def region_list(self, chooser: Chooser, count: int) -> str:
        """Introduces regions 1 to ``count``."""
        names = [region_name(number) for number in range(1, count + 1)]
        return chooser.choose(self.templates['joiner']).join(names)

    def question(self, chooser: Chooser, number: int) -> str:
        """A question about one region."""
        return fill(
            chooser.choose(self.templates['questions']),
            token=REGION_PLACEHOLDER,
            region=region_name(number),
        )


def talk_sample(sample_id: str, image_path: str | None, talk: RegionTalk) -> GroundingSample:
    """A sample of a conversation."""
    return GroundingSample(
        sample_id,
        image_path=image_path,
        turns=talk.turns,
        regions=talk.regions,
        dropped=list(talk.dropped),
        meta=talk.meta,
    )


def with_overview(overview: str, turns: Sequence[Turn]) -> list[Turn]:
    """Put a text before the first request."""
    first, *rest = turns
    return [Turn(overview + first.request, first.answer, first.supervised), *rest]


def usable_regions(
    annotations: Sequence[dict[str, Any]],
    width: float | None,
    height: float | None,
    min_share: float,
) -> tuple[list[tuple[dict[str, Any], tuple[float, float, float, float]]], list[tuple[str, str]]]:
    """COCO annotations that are single objects of some size within the image.

    Args:
        annotations: With ``bbox`` (x, y, width, height), ``iscrowd``, ``id``.
        width: Of the image; None where the file does not say.
        height: Of the image; None where the file does not say.
        min_share: Least width and height of a box, as a share of the image's where that is known.

    Returns:
        ``(annotation, box_xyxy)`` of those, and ``(which, why)`` of the others.
    """
    kept, dropped = [], []
    right, bottom = width or math.inf, height or math.inf
    # A box that is no pixel wide is refused when the image is there; it would take the whole
    # sample with it.
    least = (min_share * width if width else 1.0, min_share * height if height else 1.0)
    for annotation in annotations:
        name = f'annotation {annotation.get("id")}'
        if annotation.get('iscrowd') or annotation.get('ignore'):
            dropped.append((name, 'crowd'))
            continue
        box = annotation.get('bbox')
        if not isinstance(box, (list, tuple)) or len(box) != 4:
            raise ValueError(f'{name} has no bbox of four numbers')
        x, y, w, h = map(float, box)
        x1, y1 = min(x + w, right), min(y + h, bottom)
        inside = (x1 - max(x, 0.0), y1 - max(y, 0.0))
        if not (inside[0] >= least[0] and inside[1] >= least[1]):
            dropped.append((name, 'too_small'))
            continue
        kept.append((annotation, (max(x, 0.0), max(y, 0.0), x1, y1)))
    return kept, dropped
