"""TFRecord files and the examples in them, read without TensorFlow and without trust.

A file is a row of records: length, its checksum, content, its checksum. A record is a
``tf.train.Example`` (a map from names to lists of bytes, floats or integers) or a
``SequenceExample`` (that, and a map from names to lists of such lists), in protobuf's wire format.
Only these messages are understood; everything else is a typed error that names file and record.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from .crc32c import masked_crc32c
from .errors import AnnotationError, InputFileError
from .safe_io import check_ordinary_file

#: Largest record in bytes: an image of that size, and its annotations.
MAX_RECORD_BYTES = 256 * 1024**2
#: Largest file in bytes; the release cuts its data into shards of less than a gigabyte.
MAX_FILE_BYTES = 64 * 1024**3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Values = list[bytes] | list[float] | list[int]


@dataclass
class Example:
    """What a record holds.

    Attributes:
        features: Name -> values.
        lists: Name -> a list of values for each step; empty unless it is a ``SequenceExample``.
    """

    features: dict[str, Values] = field(default_factory=dict)
    lists: dict[str, list[Values]] = field(default_factory=dict)


def read_examples(path: str | os.PathLike) -> Iterator[Example]:
    """Read all examples of a file.

    Args:
        path: The TFRecord file, uncompressed.

    Yields:
        One example per record.

    Raises:
        InputFileError: It is missing or no ordinary file.
        AnnotationError: It is cut off, a checksum is wrong, or a record is no example.
    """
    for number, record in enumerate(read_records(path)):
        try:
            yield parse_example(record)
        except (ValueError, UnicodeDecodeError) as error:
            raise AnnotationError(
                path, f'holds no tf.train.Example: {error}.', key=f'record {number}'
            ) from error


def read_records(path: str | os.PathLike) -> Iterator[bytes]:
    """Read the records of a file and check their checksums; see :func:`read_examples`."""
    try:
        check_ordinary_file(path, MAX_FILE_BYTES)
        with open(path, 'rb') as file:
            number = 0
            while (record := _next_record(file, path, number)) is not None:
                yield record
                number += 1
    except FileNotFoundError as error:
        raise InputFileError(path, 'no such file.') from error
    except InputFileError:
        raise
    except OSError as error:
        raise InputFileError(path, f'cannot be read: {error.strerror or error}.') from error


def _next_record(file: BinaryIO, path: str | os.PathLike, number: int) -> bytes | None:
    header = file.read(12)
    if not header:
        return None

    def broken(problem: str, fix: str = 'Is it complete, and not compressed?') -> AnnotationError:
        return AnnotationError(path, problem, key=f'record {number}', fix=fix)

    if len(header) < 12:
        raise broken(f'expected 12 bytes of header, got {len(header)}.')
    length, length_crc = struct.unpack('<QI', header)
    if masked_crc32c(header[:8]) != length_crc:
        raise broken('the checksum of its length is wrong: this is no TFRecord file.')
    if length > MAX_RECORD_BYTES:
        raise broken(f'has {length} bytes, more than {MAX_RECORD_BYTES}.')
    content = file.read(length + 4)
    if len(content) < length + 4:
        raise broken(f'is cut off: expected {length + 4} bytes, got {len(content)}.')
    record = content[:length]
    if masked_crc32c(record) != struct.unpack('<I', content[length:])[0]:
        raise broken('its content does not fit its checksum.', 'Download or copy it again.')
    return record


def parse_example(record: bytes) -> Example:
    """Parse a ``tf.train.Example`` or ``SequenceExample``.

    Args:
        record: The message.

    Raises:
        ValueError: It is neither.
    """
    example = Example()
    for number, content in _messages(record):
        if number == 1:
            # "features" of an Example, "context" of a SequenceExample.
            for name, feature in _entries(content):
                example.features[name] = _values(feature)
        elif number == 2:
            for name, steps in _entries(content):
                example.lists[name] = [_values(step) for _, step in _messages(steps, only=1)]
        else:
            raise ValueError(f'field {number} is unknown')
    return example


def _messages(message: memoryview | bytes, only: int = 0) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field, all of which must have a length."""
    for number, kind, value in _fields(memoryview(message)):
        if kind != _BYTES or (only and number != only):
            raise ValueError(f'field {number} of wire type {kind} is unknown')
        yield number, value


def _entries(message: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Entries of a map from names to messages."""
    for _, entry in _messages(message, only=1):
        name, value = '', memoryview(b'')
        for number, content in _messages(entry):
            if number == 1:
                name = str(content, 'utf-8')
            elif number == 2:
                value = content
            else:
                raise ValueError(f'field {number} of a map is unknown')
        yield name, value


def _values(feature: memoryview) -> Values:
    """The list in a ``Feature``; of several the last counts, as in protobuf."""
    found: Values = []
    for number, content in _messages(feature):
        if number == 1:
            found = [bytes(value) for _, value in _messages(content, only=1)]
        elif number == 2:
            found = _floats(content)
        elif number == 3:
            found = _integers(content)
        else:
            raise ValueError(f'kind {number} of a feature is unknown')
    return found


def _floats(message: memoryview) -> list[float]:
    values: list[float] = []
    for number, kind, value in _fields(message):
        if number != 1 or kind not in (_BYTES, _FIXED32) or len(value) % 4:
            raise ValueError('a list of floats is malformed')
        values += np.frombuffer(value, dtype='<f4').tolist()
    return values


def _integers(message: memoryview) -> list[int]:
    values: list[int] = []
    for number, kind, value in _fields(message):
        if number == 1 and kind == _VARINT:
            values.append(_signed(value))
        elif number == 1 and kind == _BYTES:
            place = 0
            while place < len(value):
                one, place = _varint(value, place)
                values.append(_signed(one))
        else:
            raise ValueError('a list of integers is malformed')
    return values


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Number, wire type and value of each field."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, kind, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f'wire type {kind} is unknown')
        if length > len(message) - place:
            raise ValueError(f'a field of {length} bytes is cut off')
        yield number, kind, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError('a number is cut off')
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
    raise ValueError('a number has more than ten bytes')


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
