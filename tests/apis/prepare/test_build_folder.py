import json

import pytest

from flmm.apis.prepare import BuildFolder
from flmm.utils.errors import FLMMError, InputFileError


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'source.txt'
    path.write_text('three words here')
    return path


class Step:
    """Copies a file in capitals, counts its runs, and may fail half way."""

    def __init__(self, source):
        self.source, self.runs, self.fails = source, 0, False

    def __call__(self, out):
        self.runs += 1
        (out / 'sub').mkdir()
        (out / 'sub/copy.txt').write_text(self.source.read_text().upper())
        if self.fails:
            raise KeyboardInterrupt
        return {'words': 3}


def run(tmp_path, step, **options):
    folder = BuildFolder(tmp_path / 'out', quiet=True)
    return folder.step('copy', [step.source], step, options)


def test_a_complete_step_is_not_made_again(tmp_path, source):
    step = Step(source)
    assert run(tmp_path, step) == run(tmp_path, step) == {'words': 3} and step.runs == 1
    assert (tmp_path / 'out/sub/copy.txt').read_text() == 'THREE WORDS HERE'
    # Touched, but the same: its checksum decides.
    source.touch()
    assert run(tmp_path, step) and step.runs == 1


@pytest.mark.parametrize('change', ['input', 'option', 'output', 'version'])
def test_a_step_is_made_again_if_anything_changed(tmp_path, source, change):
    step = Step(source)
    run(tmp_path, step, images=None)
    options = {'images': 'x' if change == 'option' else None}
    if change == 'input':
        source.write_text('other words here')
    elif change == 'output':
        (tmp_path / 'out/sub/copy.txt').unlink()
    elif change == 'version':
        path = tmp_path / 'out/.build/copy.json'
        path.write_text(path.read_text().replace('"version": 1', '"version": 0'))
    run(tmp_path, step, **options)
    assert step.runs == 2
    assert (tmp_path / 'out/sub/copy.txt').read_text() == source.read_text().upper()


def test_an_interrupted_step_leaves_nothing_and_goes_on(tmp_path, source):
    step = Step(source)
    step.fails = True
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, step)
    assert not list((tmp_path / 'out').iterdir())
    step.fails = False
    assert run(tmp_path, step) == {'words': 3}


def test_verify_finds_what_changed(tmp_path, source):
    run(tmp_path, Step(source))
    folder = BuildFolder(tmp_path / 'out', quiet=True)
    assert folder.verify() == []
    (tmp_path / 'out/sub/copy.txt').write_text('THREE WORDS HER3')
    assert folder.verify() == ['sub/copy.txt']


def test_no_step_writes_over_what_another_wrote(tmp_path, source):
    run(tmp_path, Step(source))
    folder, kept = BuildFolder(tmp_path / 'out', quiet=True), tmp_path / 'out/sub/copy.txt'
    # The same content does no harm: an image that several shards hold.
    assert folder.step('same', [source], Step(source)) == {'words': 3}
    other = tmp_path / 'other.txt'
    other.write_text('four words are here')
    with pytest.raises(FLMMError, match=r'copy.txt: the step other would write over what copy'):
        folder.step('other', [other], Step(other))
    assert kept.read_text() == 'THREE WORDS HERE' and folder.verify() == []
    assert not (tmp_path / 'out/.build/other.json').exists()


def test_a_folder_that_nothing_filled_is_not_verified(tmp_path):
    with pytest.raises(FLMMError, match='no notes of a step'):
        BuildFolder(tmp_path / 'typo', quiet=True).verify()


def test_missing_inputs_and_foreign_notes_are_named(tmp_path, source):
    step = Step(source)
    run(tmp_path, step)
    (tmp_path / 'out/.build/copy.json').write_text(json.dumps([1]))
    with pytest.raises(FLMMError, match='no notes'):
        run(tmp_path, step)
    step.source = tmp_path / 'none'
    with pytest.raises(InputFileError, match='none'):
        run(tmp_path, step)
