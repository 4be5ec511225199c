"""Localized Narratives: what is said of a scene, word by word in time, and where the pointer was.

Files, in ``localized_narratives/``: ``coco_{train,val}_localized_narratives.jsonl``, and Panoptic
Narrative Grounding of the very same captions (``{train,val}2017/``, ``annotations/``), as for COCO,
where it tells which object each noun of a narrative means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flmm.datasets.toy.language import Utterance
from flmm.datasets.toy.scenes import ToyScene
from flmm.datasets.toy.writers.png import PanopticNarrativesWriter

#: Seconds that a word takes, and between two utterances.
_WORD, _PAUSE = 0.35, 0.2
#: Seconds between two recorded positions while something is said.
_STEP = 0.05
#: Reach of the pointer's wiggle as a share of the way to the object's edge.
_WIGGLE = 0.5
_NEW_STROKE = 0.15


@dataclass(frozen=True)
class _Said:
    """An utterance; ``spot`` is ``(x, y, reach)`` in pixels, None while the pointer travels."""

    text: str
    spot: tuple[float, float, float] | None


class LocalizedNarrativesWriter:
    """Writes spoken narratives with the pointer's trace.

    While a noun phrase is said the pointer moves inside its object, in a group from member to
    member, from left to right, with the noun on the last one; in between it travels, and it comes
    in from outside of the image.

    Args:
        root: Root of the data; everything goes to its folder ``localized_narratives``.
    """

    def __init__(self, root: Path):
        self.root = root / 'localized_narratives'
        self._objects = PanopticNarrativesWriter(self.root)
        self._records: dict[str, list[dict[str, Any]]] = {'train': [], 'val': []}

    def add(self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator) -> None:
        """Write a scene's picture and objects, remember its narrative."""
        if split not in self._records:
            return
        pieces = self._objects.add(split, image_id, scene, rng)
        said = [part for piece in pieces for part in _utterances(rng, scene, piece)]
        timed, traces = _perform(rng, scene, said)
        self._records[split].append(
            {
                'dataset_id': f'mscoco_{split}2017',
                'image_id': str(image_id),
                'annotator_id': 0,
                'caption': ' '.join(piece.text for piece in pieces),
                'timed_caption': timed,
                'traces': traces,
                'voice_recording': '',
            }
        )

    def finish(self) -> None:
        """Write the annotation files."""
        self._objects.finish()
        for split, records in self._records.items():
            path = self.root / f'coco_{split}_localized_narratives.jsonl'
            path.write_text(''.join(json.dumps(record) + '\n' for record in records))


def inner_point(mask: np.ndarray) -> tuple[float, float, float]:
    """A point well inside a region, near its middle; of equally near ones the highest.

    Args:
        mask: ``(H, W)`` bool, not empty.

    Returns:
        ``(x, y)`` in pixels, and the radius of a disc around it that lies in the region.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    ys, xs = np.nonzero(depth >= 0.8 * depth.max())
    all_ys, all_xs = np.nonzero(mask)
    # The middle of a ring is not in it: its top is taken, since all of it is as far.
    far = np.hypot(xs - all_xs.mean(), ys - all_ys.mean()) + 0.5 * ys
    best = int(far.argmin())
    x, y = int(xs[best]), int(ys[best])
    return x + 0.5, y + 0.5, max(float(depth[y, x]) - 1.0, 0.2)


def _utterances(rng: np.random.Generator, scene: ToyScene, piece: Utterance) -> list[_Said]:
    """A piece of a narrative as it is said: in one breath, or cut, each part at one place."""
    words = piece.text.split()
    masks = [scene.object_mask(i) for i in piece.objects]
    masks += [scene.stuff_mask(j) for j in piece.stuff]
    spots = sorted(inner_point(mask) for mask in masks if mask.any())
    if not spots:
        return [_Said(piece.text, None)]
    # The last words belong to the last members; nobody visits more members than there are words.
    spots = spots[-len(words) :]
    owner = [index * len(spots) // len(words) for index in range(len(words))]
    cut = int(rng.integers(1, len(words))) if len(words) > 2 and rng.random() < 0.3 else 0
    parts, start = [], 0
    for index in range(1, len(words) + 1):
        if index == len(words) or owner[index] != owner[start] or index == cut:
            parts.append(_Said(' '.join(words[start:index]), spots[owner[start]]))
            start = index
    return parts


def _perform(
    rng: np.random.Generator, scene: ToyScene, said: list[_Said]
) -> tuple[list[dict[str, Any]], list[list[dict[str, float]]]]:
    """Time the utterances and move the pointer: ``timed_caption`` and ``traces``."""
    timed: list[dict[str, Any]] = []
    strokes: list[list[dict[str, float]]] = [[]]
    now = float(rng.uniform(0.0, 0.3))
    _record(scene, strokes[0], -0.05 * scene.width, scene.height * float(rng.random()), now)
    for part in said:
        start = now + _PAUSE * float(rng.uniform(0.5, 1.5))
        now = start + _WORD * len(part.text.split()) * float(rng.uniform(0.8, 1.2))
        timed.append(
            {'utterance': part.text, 'start_time': round(start, 3), 'end_time': round(now, 3)}
        )
        if part.spot is None:
            continue  # on its way to the next place
        if rng.random() < _NEW_STROKE:
            strokes.append([])
        x, y, reach = part.spot
        turn, way = rng.uniform(0, 2 * np.pi), (-1) ** int(rng.integers(2))
        times = np.linspace(start, now, max(int((now - start) / _STEP), 4))
        for step, time in enumerate(times):
            angle = turn + way * step * 2 * np.pi / (len(times) - 1)
            radius = reach * _WIGGLE * float(rng.uniform(0.6, 1.0))
            _record(
                scene, strokes[-1], x + radius * np.cos(angle), y + radius * np.sin(angle), time
            )
    rest = strokes[-1][-1] if strokes[-1] else strokes[-2][-1]
    if rest['t'] < round(now, 3):
        # Readers would let the pointer fly on; people leave it where it is.
        strokes[-1].append({**rest, 't': round(now, 3)})
    return timed, [stroke for stroke in strokes if stroke]


def _record(
    scene: ToyScene, stroke: list[dict[str, float]], x: float, y: float, time: float
) -> None:
    stroke.append(
        {
            'x': round(float(x) / scene.width, 5),
            'y': round(float(y) / scene.height, 5),
            't': round(float(time), 3),
        }
    )
