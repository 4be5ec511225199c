import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tfrecord_writer import example, feature, framed, mapping, message, varint

from flmm.utils.errors import AnnotationError, InputFileError
from flmm.utils.tfrecord import MAX_RECORD_BYTES, parse_example, read_examples

RECORD = example(
    {'name': [b'dog.jpg', b''], 'box': [0.25, -1.5], 'ids': [1, -2, 2**40], 'none': []},
    {'steps': [[1.0, 2.0], [], [3.0]]},
)


def test_features_and_lists_come_back(tmp_path):
    path = tmp_path / 'a.tfrecord'
    path.write_bytes(framed([RECORD, example({'x': [7]})]))
    first, second = read_examples(path)
    assert first.features == {
        'name': [b'dog.jpg', b''], 'box': [0.25, -1.5], 'ids': [1, -2, 2**40], 'none': [],
    }  # fmt: skip
    assert first.lists == {'steps': [[1.0, 2.0], [], [3.0]]}
    assert second.features == {'x': [7]} and second.lists == {}


def test_numbers_may_stand_unpacked():
    floats = message(2, varint(1 << 3 | 5) + struct.pack('<f', 0.5) * 1)
    integers = message(3, varint(1 << 3) + varint(5) + varint(1 << 3) + varint(-1))
    record = message(1, mapping({'f': floats, 'i': integers}))
    assert parse_example(record).features == {'f': [0.5], 'i': [5, -1]}


def test_protobuf_reads_the_same():
    # The test's own writer must write what TensorFlow's messages are.
    descriptor = pytest.importorskip('google.protobuf.descriptor_pb2')
    from google.protobuf import descriptor_pool, message_factory

    kinds = descriptor.FieldDescriptorProto
    file = descriptor.FileDescriptorProto(name='e.proto', package='t', syntax='proto3')
    for name, kind in (
        ('BytesList', kinds.TYPE_BYTES),
        ('FloatList', kinds.TYPE_FLOAT),
        ('Int64List', kinds.TYPE_INT64),
    ):
        made = file.message_type.add(name=name)
        made.field.add(name='value', number=1, type=kind, label=kinds.LABEL_REPEATED)
    one = file.message_type.add(name='Feature')
    for number, name in enumerate(('BytesList', 'FloatList', 'Int64List'), 1):
        one.field.add(
            name=name.lower(), number=number, type=kinds.TYPE_MESSAGE, type_name=f'.t.{name}',
            label=kinds.LABEL_OPTIONAL,
        )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName('t.Feature'))
    for values, field in (
        ([b'a', b''], 'byteslist'),
        ([0.5, 2.0], 'floatlist'),
        ([3, -4], 'int64list'),
    ):
        made = cls()
        getattr(made, field).value.extend(values)
        assert made.SerializeToString() == feature(values)
        assert parse_example(message(1, mapping({'x': made.SerializeToString()}))).features == {
            'x': values
        }


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        (framed([RECORD])[:-1], 'cut off'),
        (framed([RECORD])[:7], 'header'),
        (framed([RECORD]).replace(b'dog', b'cat'), 'checksum'),
        (b'\x00' * 40, 'no TFRecord'),
        (b'PK\x03\x04' + b'x' * 40, 'no TFRecord'),
        (framed([b'\x0a\xff']), 'cut off'),
        (framed([b'hello']), 'no tf.train.Example'),
        (framed([message(3, b'')]), 'field 3'),
        (framed([message(1, mapping({'x': message(4, b'')}))]), 'kind 4'),
        (framed([message(1, message(1, message(1, b'\xff\xfe')))]), 'no tf.train.Example'),
        (framed([message(1, mapping({'x': message(2, message(1, b'123'))}))]), 'floats'),
        (framed([b'\x80' * 11]), 'more than ten bytes'),
    ],
)
def test_a_broken_file_is_a_typed_error(tmp_path, content, problem):
    path = tmp_path / 'bad.tfrecord'
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=problem) as caught:
        list(read_examples(path))
    assert str(path) in str(caught.value) and 'record 0' in str(caught.value)


def test_a_length_beyond_all_bounds_reserves_no_memory(tmp_path):
    from flmm.utils.crc32c import masked_crc32c

    length = struct.pack('<Q', MAX_RECORD_BYTES + 1)
    path = tmp_path / 'bomb.tfrecord'
    path.write_bytes(length + struct.pack('<I', masked_crc32c(length)) + b'x')
    with pytest.raises(AnnotationError, match='more than'):
        list(read_examples(path))


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / 'none', tmp_path):
        with pytest.raises(InputFileError, match=str(path)):
            list(read_examples(path))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(RECORD)), st.integers(0, len(RECORD)))
def test_no_bytes_crash_the_parser(noise, start, end):
    for record in (noise, RECORD[:start] + noise + RECORD[end:]):
        try:
            parse_example(record)
        except (ValueError, UnicodeDecodeError):
            continue
