"""Panoptic maps computed once and kept by the content of the image."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from flmm.registry import MODELS
from flmm.structures import GroundingSample, PanopticMap, Segment


@MODELS.register_module()
class CachedPanoptic:
    """Ask a frozen segmenter once per image; several processes may fill one folder.

    A file is named by the hash of the image's pixels and of what the segmenter is, so another
    segmenter, threshold or picture never gets a map that is not its own. A broken file is made
    anew.

    Args:
        segmenter: Config of a segmenter with an ``identity``, or one.
        folder: Where the maps are kept.
    """

    def __init__(self, segmenter: Any, folder: str) -> None:
        self.segmenter = MODELS.build(segmenter) if isinstance(segmenter, dict) else segmenter
        self.folder = Path(folder)

    def __call__(self, sample: GroundingSample) -> PanopticMap:
        """Map of the sample's image.

        Args:
            sample: With ``image``.
        """
        path = self._path(sample)
        kept = _read(path)
        if kept is not None:
            return kept
        found = self.segmenter(sample)
        _write(path, found)
        return found

    def has(self, sample: GroundingSample) -> bool:
        """Whether the map of the sample's image is there, whole.

        Args:
            sample: With ``image``.
        """
        return _read(self._path(sample)) is not None

    def _path(self, sample: GroundingSample) -> Path:
        digest = hashlib.sha256(self.segmenter.identity.encode())
        digest.update(f'{sample.image.size} {sample.image.mode}'.encode())
        digest.update(sample.image.tobytes())
        return self.folder / f'{digest.hexdigest()}.npz'


def _read(path: Path) -> PanopticMap | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, segments, scores = file['ids'], file['segments'], file['scores']
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return PanopticMap(
        ids,
        tuple(
            Segment(int(one), int(label), float(score))
            for (one, label), score in zip(segments, scores, strict=True)
        ),
    )


def _write(path: Path, found: PanopticMap) -> None:
    """Readers see the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([(one.id, one.label) for one in found.segments], np.int64).reshape(-1, 2)
    scores = np.array([one.score for one in found.segments], np.float64)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'wb') as file:
            np.savez_compressed(file, ids=found.ids, segments=rows, scores=scores)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
