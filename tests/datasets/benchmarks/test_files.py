import pytest

from flmm.datasets.benchmarks.files import Record, read_table, read_text
from flmm.utils.errors import AnnotationError, InputFileError


def test_a_record_names_file_place_and_what_it_expects():
    row = Record('x.json', '[3]', {'a': 1, 'b': '', 'c': [1]}, 'a and b')
    assert row.text('a') == '1' and row.typed('c', list) == [1]
    with pytest.raises(AnnotationError, match=r"x.json at \[3\]: 'b' is ''.*Each record has a and"):
        row.text('b')
    with pytest.raises(AnnotationError, match="has no 'd'"):
        row.text('d')
    with pytest.raises(AnnotationError, match='expected an integer'):
        row.typed('c', int)
    with pytest.raises(AnnotationError, match='expected an object, got list'):
        Record('x.json', '', [], 'a')


def test_a_table_must_have_its_columns_and_whole_rows(tmp_path):
    path = tmp_path / 'x.tsv'
    path.write_text('a\tb\n1\t"two\nlines"\n')
    assert read_table(path, ('a', 'b')) == [{'a': '1', 'b': 'two\nlines'}]
    # str.splitlines would cut the row at the marks of other alphabets.
    path.write_text('a\tb\r\n1\ttwo\u2028lines\x85\r\n', encoding='utf-8')
    assert read_table(path, ('a', 'b')) == [{'a': '1', 'b': 'two\u2028lines\x85'}]
    path.write_text('a\tb\n1\t2\n')
    with pytest.raises(AnnotationError, match='it lacks c'):
        read_table(path, ('a', 'c'))
    path.write_text('a\tb\n1\n')
    with pytest.raises(AnnotationError, match='row 2: has 1 fields'):
        read_table(path, ('a',))


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / 'x').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(AnnotationError, match='no text'):
        read_text(tmp_path / 'x')
    with pytest.raises(InputFileError, match='no such file'):
        read_text(tmp_path / 'y')
    with pytest.raises(InputFileError, match='cannot be read'):
        read_text(tmp_path)
