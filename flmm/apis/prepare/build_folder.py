"""A folder that is filled step by step: what is complete is not made again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flmm.engine.checksum import file_sha256
from flmm.utils.errors import FLMMError, InputFileError
from flmm.utils.safe_io import load_json, write_json

from .step_folder import step_folder

#: Folder of the notes, one file per step.
NOTES = '.build'
#: Notes of another version are not trusted.
VERSION = 1


class BuildFolder:
    """Runs steps and remembers, with checksums, what each read and wrote.

    A step writes to a folder of its own, which is moved into place when it is complete: after an
    interruption the same command goes on with the first step that is not, and removes what a kill
    left of such folders.

    Args:
        root: The folder; made if missing.
        quiet: Show no progress bars.
    """

    def __init__(self, root: str | os.PathLike, quiet: bool = False) -> None:
        self.root, self.quiet = Path(root), quiet
        self.root.mkdir(parents=True, exist_ok=True)

    def bar(self, items: Iterable, total: int | None = None, unit: str = 'it') -> Iterable:
        """Show a progress bar while ``items`` are gone through."""
        return tqdm(items, total=total, unit=unit, disable=self.quiet)

    def step(
        self,
        name: str,
        inputs: Sequence[str | os.PathLike],
        make: Callable[[Path], dict[str, Any]],
        options: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run one step unless it is complete.

        Args:
            name: Of the step, also of its notes.
            inputs: Files that it reads.
            make: Writes files into the folder it is given, returns what is worth knowing of them.
            options: What else the result depends on.

        Returns:
            What ``make`` returned, now or then.

        Raises:
            InputFileError: An input is missing.
            FLMMError: The notes are of something else, or another step wrote a file of the same
                name with other content.
        """
        read = {os.path.abspath(path): _signature(path) for path in inputs}
        notes = self._load(name)
        if notes is not None and notes['options'] == (options or {}) and self._holds(notes, read):
            return notes['summary']
        with step_folder(self.root, name) as part:
            summary = make(part)
            written = self._move(part, name)
        notes = dict(
            version=VERSION,
            inputs={path: {**read[path], 'sha256': file_sha256(path)} for path in read},
            options=options or {},
            outputs=written,
            summary=summary,
        )
        write_json(self.root / NOTES / f'{name}.json', notes, indent=1)
        return summary

    def verify(self) -> list[str]:
        """Compare everything that was written with its checksum.

        Returns:
            Names of files that are missing or changed; empty if all is well.

        Raises:
            FLMMError: No step has been completed here, so there is nothing to compare.
        """
        bad = []
        written = self._outputs()
        if not written:
            raise FLMMError(
                f'{self.root / NOTES} has no notes of a step (of version {VERSION}), so nothing '
                'can be compared. Is it the folder that was filled?'
            )
        for outputs in written.values():
            for file, known in self.bar(outputs.items(), unit='file'):
                path = self.root / file
                if not path.is_file() or file_sha256(path) != known['sha256']:
                    bad.append(file)
        return bad

    def _load(self, name: str) -> dict[str, Any] | None:
        path = self.root / NOTES / f'{name}.json'
        if not path.is_file():
            return None
        notes = load_json(path)
        keys = ('inputs', 'outputs', 'options', 'summary')
        if not isinstance(notes, dict) or any(key not in notes for key in keys):
            raise FLMMError(f'{path} holds no notes of a step. Remove it to make the step again.')
        return notes if notes.get('version') == VERSION else None

    def _holds(self, notes: dict[str, Any], read: dict[str, dict[str, Any]]) -> bool:
        """Whether inputs are those of the notes and outputs are there."""
        known = notes['inputs']
        if known.keys() != read.keys():
            return False
        for path, now in read.items():
            if now['size'] != known[path]['size']:
                return False
            # Copied or touched: the content decides.
            if now['mtime'] != known[path]['mtime'] and file_sha256(path) != known[path]['sha256']:
                return False
        sizes = {self.root / file: entry['size'] for file, entry in notes['outputs'].items()}
        return all(path.is_file() and path.stat().st_size == sizes[path] for path in sizes)

    def _outputs(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What each step wrote."""
        names = sorted(path.stem for path in (self.root / NOTES).glob('*.json'))
        found = {name: self._load(name) for name in names}
        return {name: notes['outputs'] for name, notes in found.items() if notes is not None}

    def _move(self, part: Path, name: str) -> dict[str, dict[str, Any]]:
        """Move what a step wrote into place, but over nothing that others need."""
        written = {
            str(path.relative_to(part)): {
                'size': path.stat().st_size,
                'sha256': file_sha256(path),
            }
            for path in sorted(p for p in part.rglob('*') if p.is_file())
        }
        for other, outputs in self._outputs().items():
            differ = [
                file
                for file, entry in written.items()
                if other != name and entry != outputs.get(file, entry)
            ]
            if differ:
                raise FLMMError(
                    f'{self.root / differ[0]}: the step {name} would write over what {other} '
                    f'wrote. Fill another folder, or remove {self.root / NOTES / other}.json.'
                )
        for file in written:
            target = self.root / file
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part / file, target)
        return written


def _signature(path: str | os.PathLike) -> dict[str, Any]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputFileError(path, f'cannot be read: {error.strerror or error}.') from error
    return {'size': status.st_size, 'mtime': status.st_mtime_ns}
