"""TFRecords as TensorFlow writes them, with protobuf's own messages where it is installed."""

import struct

from flmm.utils.crc32c import masked_crc32c


def varint(value):
    value &= 2**64 - 1
    out = b''
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values):
    """A Feature of bytes, floats or integers."""
    if not values:
        return b''
    if isinstance(values[0], bytes):
        return message(1, b''.join(message(1, value) for value in values))
    if isinstance(values[0], float):
        return message(2, message(1, struct.pack(f'<{len(values)}f', *values)))
    return message(3, message(1, b''.join(map(varint, values))))


def mapping(entries):
    return b''.join(
        message(1, message(1, name.encode()) + message(2, content))
        for name, content in entries.items()
    )


def example(features, lists=None):
    """An Example, or a SequenceExample if there are lists."""
    out = message(1, mapping({name: feature(values) for name, values in features.items()}))
    if lists:
        steps = {
            name: b''.join(message(1, feature(values)) for values in rows)
            for name, rows in lists.items()
        }
        out += message(2, mapping(steps))
    return out


def framed(records):
    """A TFRecord file's content."""
    out = b''
    for record in records:
        length = struct.pack('<Q', len(record))
        out += length + struct.pack('<I', masked_crc32c(length))
        out += record + struct.pack('<I', masked_crc32c(record))
    return out
