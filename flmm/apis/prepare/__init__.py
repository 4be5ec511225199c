"""Annotation files for training, made of public ones: resumable, with checksums."""

from .build_folder import BuildFolder
from .expressions import split_by_source, uninext_as_mdetr
from .genome import genome_splits
from .narratives import check_narratives
from .release_records import RecordFiles, merge_parts

__all__ = [
    'BuildFolder',
    'RecordFiles',
    'check_narratives',
    'genome_splits',
    'merge_parts',
    'split_by_source',
    'uninext_as_mdetr',
]
