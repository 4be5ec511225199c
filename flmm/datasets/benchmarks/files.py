"""Reading the benchmarks' files: what is not as expected is said with file, place and fix."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flmm.utils.errors import AnnotationError, InputFileError

#: Longest field of a table, in characters: images are written into some as base64.
MAX_FIELD = 200_000_000
_KINDS = {int: 'an integer', list: 'a list', dict: 'an object'}


class Record(Mapping):
    """One record of a file whose fields are checked as they are read.

    Args:
        path: The file.
        key: Where in the file.
        content: What is there.
        expects: The fields that the benchmark's records have, for messages.

    Raises:
        AnnotationError: It is no object.
    """

    def __init__(self, path: str | Path, key: str, content: Any, expects: str) -> None:
        self.path, self.key, self.expects = path, key, expects
        if not isinstance(content, dict):
            raise self.error(f'expected an object, got {type(content).__name__}')
        self.content = content

    def __getitem__(self, name: str) -> Any:
        """Field of any kind.

        Raises:
            AnnotationError: It is missing.
        """
        if name not in self.content:
            raise self.error(f'has no {name!r}')
        return self.content[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the fields."""
        return iter(self.content)

    def __len__(self) -> int:
        """Number of fields."""
        return len(self.content)

    def text(self, name: str) -> str:
        """Field that is a text or a number, as text; not empty.

        Raises:
            AnnotationError: It is missing, empty, or of another kind.
        """
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == '':
            raise self.error(f'{name!r} is {value!r:.60}, expected a text')
        return str(value)

    def typed(self, name: str, kind: type) -> Any:
        """Field of one type.

        Raises:
            AnnotationError: It is missing or of another type.
        """
        value = self[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f'{name!r} is {value!r:.60}, expected {_KINDS[kind]}')
        return value

    def one_of(self, name: str, known: Mapping[str, str]) -> str:
        """Field that is one of a few words (in any case), as what they stand for.

        Raises:
            AnnotationError: It is none of them.
        """
        value = self.text(name).strip().lower()
        if value not in known:
            raise self.error(f'{name!r} is {value!r:.60}, expected one of {", ".join(known)}')
        return known[value]

    def error(self, problem: str) -> AnnotationError:
        """The error to raise for this record."""
        fix = f'Each record has {self.expects}. Is it the file of another benchmark or version?'
        return AnnotationError(self.path, problem + '.', key=self.key, fix=fix)


def read_text(path: str | Path) -> str:
    """Text of a file.

    Raises:
        InputFileError: It cannot be read, or is no UTF-8.
    """
    try:
        return Path(path).read_text(encoding='utf-8-sig')
    except FileNotFoundError as error:
        raise InputFileError(
            path, 'no such file.', fix='docs/datasets.md says where the files belong.'
        ) from error
    except UnicodeDecodeError as error:
        raise AnnotationError(path, f'is no text: {error}.', fix='Is it unpacked?') from error
    except OSError as error:
        raise InputFileError(path, f'cannot be read: {error.strerror or error}.') from error


def read_table(path: str | Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header.

    Args:
        path: The file.
        needed: Columns that it must have.

    Raises:
        AnnotationError: A column is missing, or a row has not as many fields as the header.
    """
    text = read_text(path)
    before = csv.field_size_limit(MAX_FIELD)
    try:
        # Lines end at line feeds alone: texts may hold what str.splitlines also cuts at (U+2028).
        rows = list(csv.reader(io.StringIO(text, newline=''), delimiter='\t'))
    except csv.Error as error:
        raise AnnotationError(path, f'is no tab-separated table: {error}.') from error
    finally:
        csv.field_size_limit(before)
    header = rows[0] if rows else []
    missing = [name for name in needed if name not in header]
    if missing:
        raise AnnotationError(
            path,
            f'expected a tab-separated table with the columns {", ".join(needed)}; it lacks '
            f'{", ".join(missing)}.',
            fix='Is it the .tsv of the benchmark?',
        )
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise AnnotationError(
                path,
                f'has {len(row)} fields, the header has {len(header)}.',
                key=f'row {number}',
                fix='Was the download complete?',
            )
    return [dict(zip(header, row, strict=True)) for row in rows[1:]]
