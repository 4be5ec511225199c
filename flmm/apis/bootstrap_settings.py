"""What a folder of bootstrapped captions was made with: nothing else continues it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from flmm.utils.errors import FLMMError, InputFileError
from flmm.utils.safe_io import load_json, write_json

#: Where hashes stand in the file, beside the settings.
_SOURCES = 'sources'


def check_settings(
    path: Path, settings: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> None:
    """Note what generates captions, or compare it with what began to.

    A file without hashes (older runs noted none) is gone on with, with a warning, and gets those
    of this run, so that from then on others are refused.

    Args:
        path: The file; written if missing.
        settings: Plain values that change the captions.
        sources: Hash of each weight file and config that answers, by name; None: not compared.
            Only hashes decide: the same weights in another place are the same.

    Raises:
        InputFileError: The file holds no settings.
        FLMMError: It was begun with other settings, weights or config.
    """
    noted = dict(sources or {})
    if not path.exists():
        write_json(path, {**settings, **({_SOURCES: noted} if noted else {})})
        return
    found = load_json(path)
    if not _is_sound(found):
        raise InputFileError(
            path,
            'holds no settings of a bootstrapping run.',
            fix='Name another folder (--out).',
        )
    known = found.pop(_SOURCES, None)
    if found != settings:
        raise FLMMError(
            f'{path} says {found}, this run {dict(settings)}: finish it with its own settings, or '
            'name another folder (--out).'
        )
    if not noted:
        return
    if known is None:
        print_log(
            f'{path} does not say which weights wrote what is there; going on with those of this '
            'run, which are noted now.',
            logger='current',
            level=logging.WARNING,
        )
        write_json(path, {**settings, _SOURCES: noted})
    elif set(known.values()) != set(noted.values()):
        raise FLMMError(
            f'{path}: the captions there were begun with {_only_in(known, noted)}, this run has '
            f'{_only_in(noted, known)}. Finish them with what began them, or name another folder '
            '(--out).'
        )


def _is_sound(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(sources := found.get(_SOURCES, {}), dict):
        return False
    return all(isinstance(value, str) for value in sources.values())


def _only_in(some: Mapping[str, str], others: Mapping[str, str]) -> str:
    """Names and hashes that the others do not have."""
    hashes = set(others.values())
    named = [f'{name} ({value:.20}...)' for name, value in some.items() if value not in hashes]
    return ', '.join(named) or 'nothing besides'
