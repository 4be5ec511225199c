"""Conversations in LLaVA's json format: ``llava/conversations_*.json`` and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from flmm.datasets.toy.dialogues import Turn, conversation, reference_conversation
from flmm.datasets.toy.scenes import ToyScene
from flmm.datasets.toy.writers import images


class LlavaWriter:
    """Writes conversations to train a LLaVA on.

    Its training scenes (split ``'talk'``) are not those of any other format,
    so an LMM trained on them has not seen what a grounding head trains on.

    Args:
        root: Root of the data; everything goes to its folder ``llava``.
    """

    folder = 'llava'

    def __init__(self, root: Path):
        self.root = root / self.folder
        self._entries: dict[str, list[dict]] = {'train': [], 'val': []}

    def add(self, split: str, image_id: int, scene: ToyScene, rng: np.random.Generator) -> None:
        """Write a scene's picture, remember its conversation."""
        part = {'talk': 'train', 'val': 'val'}.get(split)
        if part is None:
            return
        name = f'images/{image_id:012d}.jpg'
        images.save_jpeg(scene, self.root / name)
        turns = []
        for k, (request, answer) in enumerate(self.converse(rng, scene)):
            turns.append({'from': 'human', 'value': ('' if k else '<image>\n') + request})
            turns.append({'from': 'gpt', 'value': answer})
        self._entries[part].append({'id': str(image_id), 'image': name, 'conversations': turns})

    def converse(self, rng: np.random.Generator, scene: ToyScene) -> list[Turn]:
        """What is said about a scene."""
        return conversation(rng, scene)

    def finish(self) -> None:
        """Write the annotation files."""
        for part, entries in self._entries.items():
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / f'conversations_{part}.json').write_text(json.dumps(entries))


class LlavaReferencesWriter(LlavaWriter):
    """The same for conversations that are mostly about referring expressions.

    Args:
        root: Root of the data; everything goes to its folder ``llava_references``.
    """

    folder = 'llava_references'

    def converse(self, rng: np.random.Generator, scene: ToyScene) -> list[Turn]:
        """What is said about a scene."""
        return reference_conversation(rng, scene)
