"""Build a toy data set on disk, in any of the formats there are writers for."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flmm.datasets.toy.scenes import sample_scene
from flmm.datasets.toy.writers.detections import CocoDetectionWriter, LLaVARegionsWriter
from flmm.datasets.toy.writers.flickr30k import Flickr30kWriter
from flmm.datasets.toy.writers.grand_f import GranDfWriter
from flmm.datasets.toy.writers.grefcoco import GRefCocoWriter
from flmm.datasets.toy.writers.llava import LlavaReferencesWriter, LlavaWriter
from flmm.datasets.toy.writers.localized_narratives import LocalizedNarrativesWriter
from flmm.datasets.toy.writers.objects365 import Objects365Writer
from flmm.datasets.toy.writers.png import PanopticNarrativesWriter
from flmm.datasets.toy.writers.pointqa import PointQAWriter
from flmm.datasets.toy.writers.pope import PopeWriter
from flmm.datasets.toy.writers.reason_seg import ReasonSegWriter
from flmm.datasets.toy.writers.refcoco import RefCocoWriter
from flmm.datasets.toy.writers.vcr import VCRWriter
from flmm.datasets.toy.writers.viscot import VisCoTWriter
from flmm.datasets.toy.writers.visual7w import Visual7WWriter
from flmm.datasets.toy.writers.visual_genome import VisualGenomeWriter
from flmm.utils.safe_io import load_json

# New ones at the end: the position seeds a format's texts.
WRITERS = {
    'png': PanopticNarrativesWriter,
    'refcoco': RefCocoWriter,
    'llava': LlavaWriter,
    'grefcoco': GRefCocoWriter,
    'reason_seg': ReasonSegWriter,
    'grand_f': GranDfWriter,
    'viscot': VisCoTWriter,
    'visual_genome': VisualGenomeWriter,
    'vcr': VCRWriter,
    'flickr30k': Flickr30kWriter,
    'coco_detection': CocoDetectionWriter,
    'llava_regions': LLaVARegionsWriter,
    'objects365': Objects365Writer,
    'visual7w': Visual7WWriter,
    'pointqa': PointQAWriter,
    'localized_narratives': LocalizedNarrativesWriter,
    'pope': PopeWriter,
    'llava_references': LlavaReferencesWriter,
}
MANIFEST = 'toy_world.json'
# Raise it when the same settings would give other files than before.
VERSION = 4
# Split: (number in the seed, first image id)
SPLITS = {'train': (0, 1), 'val': (1, 100_001), 'test': (2, 200_001), 'talk': (3, 300_001)}


class ToyDataError(RuntimeError):
    """The output folder cannot be used."""


@dataclass(frozen=True)
class ToySettings:
    """What a toy data set is a function of.

    Attributes:
        seed: Seed of every scene and text.
        num_train: Scenes to train grounding on (PNG train, RefCOCO train).
        num_val: Scenes of the val splits; as many again for the test splits.
        num_talk: Scenes of the LLaVA conversations.
        formats: Keys of ``WRITERS``.
    """

    seed: int = 0
    num_train: int = 2000
    num_val: int = 200
    num_talk: int = 0
    formats: tuple[str, ...] = ('png', 'refcoco')

    def manifest(self) -> dict:
        """Content of the manifest file."""
        return {'version': VERSION, **asdict(self), 'formats': list(self.formats)}


def is_complete(root: Path, settings: ToySettings) -> bool:
    """Whether ``root`` already holds exactly these data."""
    manifest = root / MANIFEST
    return manifest.is_file() and load_json(manifest) == settings.manifest()


def build_toy_world(root: str | Path, settings: ToySettings, quiet: bool = False) -> bool:
    """Write the data set unless it is there already.

    Everything is written beside ``root`` first and renamed at the end, so an
    interrupted run leaves no half data set.

    Args:
        root: Output folder. Replaced if it holds a toy world with other
            settings.
        settings: What to write.
        quiet: No progress bar.

    Returns:
        True if it was written, False if it was complete.

    Raises:
        ToyDataError: ``root`` holds something that is no toy world.
    """
    root = Path(root)
    if is_complete(root, settings):
        return False
    if root.exists() and any(root.iterdir()) and not (root / MANIFEST).is_file():
        raise ToyDataError(
            f'{root} is not empty and has no {MANIFEST}, so it is not replaced. '
            'Name another folder or remove it.'
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        _write(part, settings, quiet)
        (part / MANIFEST).write_text(json.dumps(settings.manifest(), indent=2))
        part.chmod(0o755)
        if root.exists():
            shutil.rmtree(root)
        os.replace(part, root)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _write(root: Path, settings: ToySettings, quiet: bool) -> None:
    writers = [WRITERS[name](root) for name in settings.formats]
    counts = {
        'train': settings.num_train,
        'val': settings.num_val,
        'test': settings.num_val,
        'talk': settings.num_talk,
    }
    talks = {'llava', 'llava_references'}
    if talks.issuperset(settings.formats):
        counts.update(train=0, test=0)
    elif talks.isdisjoint(settings.formats):
        counts.update(talk=0)
    with tqdm(total=sum(counts.values()), unit='scene', disable=quiet) as bar:
        for split, count in counts.items():
            number, first_id = SPLITS[split]
            for index in range(count):
                scene = sample_scene(settings.seed, number, index)
                for k, writer in enumerate(writers):
                    # One stream per format: adding a format changes no other.
                    name = list(WRITERS).index(settings.formats[k])
                    rng = np.random.default_rng((settings.seed, number, index, 1 + name))
                    writer.add(split, first_id + index, scene, rng)
                bar.update()
    for writer in writers:
        writer.finish()
