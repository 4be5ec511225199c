"""Configs as tools read them: a file and ``key=value`` overrides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction

from flmm.utils.errors import InputFileError


def load_config(path: str | Path, cfg_options: Sequence[str] = ()) -> Config:
    """Read a config file and merge overrides into it.

    Args:
        path: A pure-Python config.
        cfg_options: ``a.b=value``, as in OpenMMLab's ``--cfg-options``.

    Raises:
        InputFileError: There is no such file.
    """
    if not Path(path).is_file():
        raise InputFileError(
            path, 'no such config.', fix='Configs are under configs/, paths from the repository.'
        )
    config = Config.fromfile(str(path))
    if cfg_options:
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        parsed = parser.parse_args(['--cfg-options', *cfg_options])
        config.merge_from_dict(parsed.cfg_options)
    return config
