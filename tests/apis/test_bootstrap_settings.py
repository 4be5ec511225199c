import json
import logging

import pytest

from flmm.apis.bootstrap_settings import check_settings
from flmm.utils.errors import FLMMError, InputFileError

SETTINGS = {'min_area': 2000.0, 'shards': 2}
OURS = {'pink.pth': 'sha256:aaaa', 'pink.py': 'sha256:cccc'}


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'generated/settings.json'


def test_the_same_weights_go_on_wherever_they_lie(path):
    check_settings(path, SETTINGS, OURS)
    content = path.read_text()
    check_settings(path, SETTINGS, OURS)
    check_settings(path, SETTINGS, {'moved/pink.pth': 'sha256:aaaa', 'pink.py': 'sha256:cccc'})
    check_settings(path, SETTINGS)  # who names none asks for no comparison
    assert path.read_text() == content


@pytest.mark.parametrize(
    ('changed', 'named'),
    [
        ({'pink.pth': 'sha256:bbbb'}, r'pink.pth \(sha256:aaaa.*pink.pth \(sha256:bbbb'),
        ({'pink.py': 'sha256:dddd'}, r'pink.py \(sha256:cccc.*pink.py \(sha256:dddd'),
        ({'tower.safetensors': 'sha256:eeee'}, r'nothing besides.*tower.safetensors'),
    ],
)
def test_others_are_refused_by_name_with_the_way_out(path, changed, named):
    check_settings(path, SETTINGS, OURS)
    content = path.read_text()
    with pytest.raises(FLMMError, match=named) as caught:
        check_settings(path, SETTINGS, OURS | changed)
    assert 'name another folder (--out)' in str(caught.value) and str(path) in str(caught.value)
    # What is the same in both is no news.
    same = (OURS | changed).items() & OURS.items()
    assert not any(value in str(caught.value) for _, value in same)
    assert path.read_text() == content


def test_older_files_without_hashes_go_on_once_and_say_so(path, monkeypatch):
    check_settings(path, SETTINGS)
    assert json.loads(path.read_text()) == SETTINGS
    said = []
    monkeypatch.setattr(
        'flmm.apis.bootstrap_settings.print_log',
        lambda text, logger, level: said.append((text, level)),
    )
    check_settings(path, SETTINGS, OURS)
    ((text, level),) = said
    assert str(path) in text and level == logging.WARNING
    with pytest.raises(FLMMError, match=r'pink\.pth'):
        check_settings(path, SETTINGS, OURS | {'pink.pth': 'sha256:bbbb'})
    check_settings(path, SETTINGS, OURS)
    assert len(said) == 1


@pytest.mark.parametrize('content', [[1], {'sources': 3}, {**SETTINGS, 'sources': {'a': [1]}}])
def test_a_file_of_something_else_is_named(path, content):
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    with pytest.raises(InputFileError, match=r'settings.json: holds no settings'):
        check_settings(path, SETTINGS, OURS)
