import pytest

from flmm.apis.config import load_config
from flmm.utils.errors import InputFileError


@pytest.fixture
def path(tmp_path):
    file = tmp_path / 'some.py'
    file.write_text("a = dict(b=1, c=[dict(d=2), dict(d=3)])\nname = 'x'\n")
    return file


def test_overrides_reach_into_dicts_and_lists(path):
    config = load_config(path, ['a.b=7', 'a.c.1.d=0.5', 'name=some text', 'a.new=True'])
    assert (config.a.b, config.a.c[1].d, config.a.c[0].d) == (7, 0.5, 2)
    assert config.name == 'some text' and config.a.new is True


def test_a_file_without_overrides_is_read_as_it_is(path):
    assert load_config(str(path)).to_dict()['a'] == {'b': 1, 'c': [{'d': 2}, {'d': 3}]}


def test_text_with_spaces_stays_as_it_is_and_lists_are_lists(path):
    config = load_config(path, ['name=<image>\nWhat is it, please?', 'a.b=[1, 2]', 'a.e=x,y'])
    assert config.name == '<image>\nWhat is it, please?'
    assert list(config.a.b) == [1, 2] and list(config.a.e) == ['x', 'y']


@pytest.mark.parametrize('option', ['name', '=3', ''])
def test_an_override_without_key_or_value_is_explained(path, option):
    with pytest.raises(ValueError, match='key=value'):
        load_config(path, [option])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputFileError, match='nope.py: no such config'):
        load_config(tmp_path / 'nope.py')
